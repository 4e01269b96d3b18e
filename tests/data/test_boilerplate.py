"""Lines of furniture go by the rule that names them; sentences that say the same stay."""

import re

import pytest

from data.edits import find_edits
from data.rule_sets import BOILERPLATE_LINES

FURNITURE = {
    "read_more_line": [
        "Read more",
        "Continue reading →",
        "» Click here to read the full article",
        "LEARN MORE",
        "Read the full story here",
        "Read more about the pier",
        "Continue reading The Pier",
        "Keep reading",
    ],
    "cookie_line": [
        "Accept all cookies",
        "We use our own cookies to improve your visit.",
        "Cookie settings",
        "Accept all",
        "By continuing you agree to the cookies that we place.",
        "Reject all",
        "Manage preferences",
        "I agree",
        "Got it!",
        "We value your privacy",
        "Cookies help us deliver our services.",
    ],
    "share_line": [
        "Share on Facebook | Tweet | Pin it",
        "Share this story",
        "• WhatsApp",
        "Follow us on Twitter",
        "Join us on Facebook",
    ],
    "counter_line": [
        "258 Shares",
        "1,204 views · 3 comments",
        "Comments (12)",
        "Leave a Reply Cancel reply",
        "4 min read",
        "One comment",
        "No comments yet",
        "Like",
        "Reply",
    ],
    "advertisement_line": ["Advertisement", "— Sponsored content —", "Story continues below"],
    "subscribe_line": [
        "Subscribe to our newsletter",
        "Sign up for the weekly newsletter!",
        "Enter your email address:",
    ],
    "copyright_line": [
        "© 2019 Vox Media, LLC. All Rights Reserved",
        "Copyright 2003 by A. Person",
        "(c) 2001 Someone",
        "© iStock",
        "© 2024 Acme Inc.",
        "Copyright © 2019-2024 by: acme.com • All of it",
        "©",
    ],
    "breadcrumb_line": [
        "Home > News > Local",
        "Home » Blogs » A blog",
        "Home / News / Sport",
        "You are here: Home / Shop",
    ],
    "page_line": ["Page 2 of 10", "« Previous 1 2 3 Next »", "Next post"],
    "login_line": ["Log in", "Sign in / Register", "Already have an account? Sign in", "Forgot your password?"],
    "navigation_line": ["Skip to main content", "Back to top ↑", "Toggle navigation", "Loading..."],
    "related_line": ["Related articles:", "You may also like", "Most Popular"],
    "javascript_line": ["Please enable JavaScript to view this page."],
    "zh_read_more_line": ["阅读全文>>", "点击查看更多", "展开全文", "更多", "加载中....", "閱讀全文", "繼續閱讀"],
    "zh_cookie_line": [
        "接受所有Cookie",
        "我们使用cookies来改善您的体验。",
        "我知道了",
        "同意并继续",
        "隐私政策",
        "隱私權政策",
    ],
    "zh_share_line": [
        "分享到：新浪微博 微信 QQ空间",
        "微信扫一扫",
        "扫描上方二维码下载客户端",
        "关注",
        "举报",
        "分享到：微博 QQ空間",
    ],
    "zh_counter_line": [
        "阅读：1024 评论：3",
        "跟贴1199",
        "4,060条评论",
        "阅读(12.5万)",
        "网友评论",
        "已有12人评论",
        "評論(12)",
        "已有3人參與",
    ],
    "zh_advertisement_line": ["【广告】", "打开游民APP，查看更多精彩内容", "廣告"],
    "zh_copyright_line": [
        "版权所有：某某公司",
        "京ICP备12345678号-6",
        "(责任编辑：张三)",
        "未经授权不得转载",
        "版权所有 © 2024 某某公司",
        "版權所有 © 2024",
        "责任编辑：王晓_NN12 校对：约翰·李",
        "責任編輯：張三",
    ],
    "zh_breadcrumb_line": ["首页 > 新闻 > 正文", "您现在的位置：首页 - 快讯", "首頁 > 新聞"],
    "zh_page_line": [
        "第2页",
        "第 3 页 / 共 10 页",
        "上一页 1 2 3 下一页",
        "上一篇：一篇文章的标题",
        "上一頁 1 2 3 下一頁",
    ],
    "zh_login_line": ["登录/注册", "请登录后发表评论", "忘记密码？", "登入/註冊"],
    "zh_navigation_line": ["返回顶部", "【打印本页】【关闭窗口】", "关于我们 | 联系我们 | 网站地图", "返回頂部"],
    "zh_related_line": ["相关阅读：", "猜你喜欢", "相關閱讀"],
}
SENTENCES = """Read more books, she said, and write less.
More than half of them voted.
We share this planet with other animals.
Cookies are baked in an oven for ten minutes.
The next page of the story was torn out.
Home is where the heart is > nothing else.
(c) the tenant shall pay the rent;
We bake chocolate chip cookies with our grandmother every Christmas.
By using butter instead of oil you will get cookies that stay soft for a week.
Our website sells home-made cookies and cakes to the whole town.
We ate twelve cookies.
Copyright 1998 was the year in which the law began to bite.
© is the sign that printers use for copyright.
Copyright by law protects the authors of books.
"No comment."
- 'More!'
“Got it!”
Home / Away goals
Join us on the pier at noon
Keep reading to your children every night
Continue reading to your children every night
I agree with the minister.
Share your bread with the poor
You are here because you want to learn
He signed in at the front desk and went home.
The copyright law of 1976 changed everything.
Facebook said on Tuesday that it would comply.
Comments by the minister drew criticism.
Three shares of the company cost 20 dollars.
Related articles were published in 1999 by two groups.
Subscribe to this theory and you will be ridiculed.
1984
42 5 17
分享是一种美德，我们应当学会。
首页设计是网站设计的重要部分。
登录月球是人类的一大步。
阅读使人充实。
广告业在去年增长了百分之三。
第2页的内容被撕掉了。
评论家认为这部电影很好。
版本所有的修改都记录在案。
更多的人选择留下。
关闭工厂的决定引发抗议。
我们用cookie烤盘烤饼干
版权所有者是小说家的女儿
版权所有权属于作者的观点在二十世纪初才被法律承认
编辑：王五是这家报社最年轻的人
關注這件事的人很多
未经允许使用他人作品的人要承担责任
扫描仪是办公室里常用的设备
关注我们的未来是每个人的责任
位置：县城东南
6053。"""


@pytest.mark.parametrize("name", FURNITURE)
def test_furniture_goes_by_the_rule_that_names_it(name):
    lang = "zh" if name.startswith("zh") else "en"
    for line in FURNITURE[name]:
        edits = find_edits(f"Some text.\n{line}\nMore of it here.", lang, "web", BOILERPLATE_LINES)
        assert [(edit.rule, edit.start, edit.length) for edit in edits] == [(name, 11, len(line) + 1)], line


@pytest.mark.parametrize("line", SENTENCES.split("\n"))
def test_sentences_that_say_the_same_stay(line):
    lang = "zh" if re.search("[一-龥]", line) else "en"
    assert find_edits(f"Some text.\n{line}\nend", lang, "web", BOILERPLATE_LINES) == []


def test_every_rule_on_lines_has_its_examples():
    assert {rule.name for rule in BOILERPLATE_LINES} - {"policy_line"} == set(FURNITURE)
