"""Lines that are a page's furniture and not its text: buttons, counters, banners and bars, in English and Chinese.

    EditRule read_more_line: "Continue reading →", "阅读全文>>"

A rule takes a line out only when the line is nothing but one of its phrases, whatever case and marks around it, and
short: a sentence that says the same stays, and so does what somebody says in quotation marks.
"""

from data.edits import EditRule

_CUES = {
    "copyright_line": ("©", "copyright", "(c)", "all rights reserved"),
    "cookie_line": ("cookie", "accept", "reject all", "i agree", "got it", "manage p", "value your"),
    "navigation_line": (
        "skip to ",
        "jump to ",
        "to top",
        "the top",
        "toggle ",
        "menu",
        "search this ",
        "sitemap",
        "site map",
        "contact us",
        "about us",
        "loading",
    ),
    "page_line": ("page", "prev", "next", "post", "entries", "comments", "»", "›", ">"),
    "subscribe_line": ("newsletter", "mail", "inbox", "daily digest", "subscribe", "sign up", "signup"),
    "login_line": (
        "log",
        "sign",
        "register",
        "create ",
        "my account",
        "remember me",
        "password",
        "a member",
        "a subscriber",
        "have an account",
    ),
    "zh_cookie_line": ("cookie", "我知道了", "同意", "接受", "拒绝", "隐私"),
    "zh_copyright_line": (
        "版权",
        "免责声明",
        "copyright",
        "©",
        "icp",
        "公网安备",
        "许可证",
        "未经",
        "编辑",
        "责编",
        "校对",
        "审核",
    ),
    "zh_page_line": ("页", "上一", "下一", "前一", "后一"),
}
"""What the costlier patterns cannot do without."""


def _short_line(name: str, languages: tuple[str, ...], most_chars: int, bodies: tuple[str, ...]) -> EditRule:
    """A rule for lines that are nothing but one of these, whatever case and marks around them."""
    return EditRule(
        name=name,
        pattern=rf"(?i)^_?[^\w\"'“‘「『]*_?(?:{'|'.join(bodies)})[\W_]*$",
        most_chars=most_chars,
        simplified="zh" in languages,
        languages=languages,
        cues=_CUES.get(name, ()),
        except_domains=("code",),
    )


_NETWORKS = "facebook|twitter|linkedin|whatsapp|pinterest|reddit|telegram|tumblr|instagram|youtube|messenger|flipboard"
_SHARING = rf"{_NETWORKS}|share|tweet|retweet|pin it|follow us|copy link|(?:e-?mail|print) (?:this|article|page)"
_WITH_SHARING = (
    r"e-?mail|print|pin|save|this|on|via|to|by|x|article|post|page|story|and|or|link|google|like|\d[\d.,]*[km]?"
)
_COUNTED = (
    "comments?|shares?|likes?|views?|reads?|tweets?|retweets?|replies|reply|followers?|claps?|votes?|reactions?|"
    "responses?|subscribers?|downloads?"
)
_COUNT = r"\d[\d.,]*\s?[km]?\+?"
_SUBSCRIBE = r"subscribe|sign ?up|join|register|get|receive"
_COOKIE_CONTEXT = (
    r"(?=.*\b(?:(?:web)?sites?|brows\w+|consent|accept|agree|privacy|experience|polic(?:y|ies)|preferences|settings|"
    r"visit\w*|traffic|personali[sz]\w+|analy\w+|advert\w+|ads|services?|devices?|functionality|third[- ]part\w+)\b)"
)
"""Of a notice on cookies, a word beside them that no recipe has."""
_YEARS = r"(?:(?:19|20)\d\d(?:\s*[-–—,/]\s*(?:(?:19|20)?\d\d|present))*)"
_HOLDER = r"(?:by\b[\s:]*)?(?:(?-i:[^\W_a-z])|[\w-]+(?:\.\w|\s*[|/]|$)|all rights|$)"
_COPYRIGHT = (
    r"(?:(?:copyright[\s:]*)?(?:©|\(c\)\s*(?=(?:19|20)\d\d))(?:\s*copyright\b)?|copyright\s+(?=(?:19|20)\d\d|by\b))"
    rf"[\W_]*{_YEARS}?[\W_]*(?={_HOLDER})(?![^.]{{0,80}}\b(?:is|was|are|were|has|had)\b).{{0,120}}"
)
"""A sign or a year with a holder, who begins like a name; no sentence."""
_LETTER = r"newsletters?|mailing list|e-?mail (?:updates|alerts|list)|(?:your|my) inbox|daily digest|by e-?mail"

ENGLISH_LINES = tuple(
    _short_line(name, ("en",), most_chars, bodies)
    for name, most_chars, bodies in (
        (
            "read_more_line",
            90,
            (
                r"(?:click here to )?(?:read|view|see|show|load) (?:more|less|all|full (?:article|story|post))"
                r"(?: (?:posts|comments|articles|stories|news|here|from [\w ]{1,30}))?",
                r"read more (?:about|on|at|in)\b[^.,;?!]{1,40}",
                r"read (?:the |our )?(?:full|whole|entire|original|rest of the) (?:article|story|post|report|interview)"
                r"(?: here| now)?",
                r"(?:continue|keep) reading(?:[\W_]+(?:below|here|more|(?:the|this) (?:full |rest of the )?"
                r"(?:article|story|post|entry)|(?-i:[A-Z\d])[^.]{0,60})|\s*[\"':>»–—-][^.]{1,60})?",
                r"(?:learn more|find out more|more info(?:rmation)?|full (?:story|article)|click here|more)",
                r"click here (?:for|to (?:read|view|see|learn|find)) [^.]{1,60}",
            ),
        ),
        (
            "cookie_line",
            200,
            (
                r"(?:accept|allow|reject|manage|decline|customi[sz]e)(?: (?:all|optional|necessary|your|my))* cookies?"
                r"(?: settings| preferences)?",
                r"cookies? (?:settings|preferences|notice|consent|declaration|information)",
                rf"(?:we|(?:this|our|the) (?:web)?site)\b{_COOKIE_CONTEXT}.{{0,60}}"
                r"\b(?:uses?|using|sets?|stores?|places?)\b.{0,40}\bcookies\b.{0,120}",
                r"by (?:using|continuing|clicking|visiting|browsing|choosing)\b.{0,80}"
                r"\b(?:agree|consent|accept)\b.{0,60}\bcookies\b.{0,80}",
                rf"cookies (?:help|allow|enable)\b{_COOKIE_CONTEXT}.{{0,150}}",
                r"(?:accept|reject) all|i (?:accept|agree)(?: cookies)?|got it!?",
                r"manage preferences|we value your privacy",
            ),
        ),
        (
            "share_line",
            100,
            (
                rf"(?:(?:{_WITH_SHARING})[\W_]+)*(?:{_SHARING})(?:[\W_]+(?:{_WITH_SHARING}|{_SHARING}))*",
                r"share (?:this\b[^.?!]{0,40}|"
                rf"(?:on|via|with) (?:{_NETWORKS}|e-?mail|google|x|(?:your )?friends)\b[^.?!]{{0,30}}|"
                r"your (?:thoughts|story|comments?|opinions?|views?)(?: (?:below|here|with us))?)",
                rf"(?:follow|find|like|join) us on(?: (?:our )?(?:{_NETWORKS}|google|tiktok|x|social)\b"
                r"[^.?!]{0,40})?",
            ),
        ),
        (
            "counter_line",
            80,
            (
                rf"(?:{_COUNT}\s(?:{_COUNTED})(?:[\W_]+|$))+",
                rf"(?:{_COUNTED})[\s:(]+{_COUNT}|(?:no )?comments(?: yet)?|(?:one )?comment|like|reply",
                r"(?:leave|add|post|write) (?:a|your) (?:comment|reply)(?: cancel reply)?|cancel reply|post comment",
                r"be the first to (?:comment|like this|review)[^.]{0,30}|(?:view|show|hide|load)(?: all)?"
                r"(?: \d+)?(?: more)? (?:comments|replies)",
                r"comments (?:are|have been) (?:closed|disabled|turned off)[^.]{0,30}",
                r"\d{1,2}(?:[- ])min(?:ute)?s?(?: read)",
            ),
        ),
        (
            "advertisement_line",
            60,
            (
                r"advertisements?|sponsored(?: (?:content|links?|post|by))?|advertise with us|ads? by google|promoted",
                r"(?:story|article) continues (?:below|after)[\w ]{0,20}|continue reading below",
                r"scroll (?:down )?(?:to continue|for more)[\w ]{0,20}|skip (?:ad|advertisement)|report (?:this )?ad",
            ),
        ),
        (
            "subscribe_line",
            120,
            (
                rf"(?:please )?(?:{_SUBSCRIBE})\b[^.?!]{{0,60}}\b(?:{_LETTER})\b[^.?!]{{0,40}}",
                r"subscribe(?: (?:now|today|here|to "
                r"(?:(?:our|my) [^.?!]{1,40}|(?:the|this) (?:blog|channel|feed|podcast|site))))?",
                r"sign ?up (?:now|today|here|for free)|enter your e-?mail(?: address)?[^.?!]{0,60}",
                r"your e-?mail(?: address)?|(?:daily |weekly )?newsletters?",
            ),
        ),
        (
            "copyright_line",
            160,
            (
                _COPYRIGHT,
                r".{0,80}\ball rights reserved\b.{0,40}",
            ),
        ),
        (
            "breadcrumb_line",
            120,
            (
                r"home\s*(?:(?:[>»›→]|::)\s*[^.?!]{1,100}|([/|])\s*[^.?!/|]{1,40}\1[^.?!]{1,60})",
                r"you are here(?:\s*[:>»›/|→-]\s*|\s+(?=home\b))[^.?!]{1,100}",
            ),
        ),
        (
            "page_line",
            80,
            (
                r"page \d+(?: (?:of|/) \d+)?",
                r"(?:(?:(?:previous|prev|next)(?: (?:page|post|article|story|entry))?|"
                r"(?:older|newer|recent|last|first) (?:posts?|entries|page|comments)|page|\d+)(?:[\W_]+|$)){2,}"
                r"(?<=[a-z»›>])",
                r"(?:previous|prev|next)(?: (?:page|post|article|story|entry)(?:: .{1,60})?)?",
                r"(?:older|newer) (?:posts|entries)",
            ),
        ),
        (
            "login_line",
            90,
            (
                r"(?:please )?(?:log|sign)[ -]?(?:in|out|up)(?:(?:[\W_]+| or )(?:register|sign[ -]?up|join|log ?in|"
                r"create (?:an )?account))?",
                r"(?:register|create (?:an |your )?(?:free )?account|my account|remember me)",
                r"forgot(?:ten)? (?:your )?password",
                r"(?:already|not (?:yet )?) ?(?:a member|registered|a subscriber)[^.!]{0,40}",
                r"(?:already |don'?t )have an account[^.!]{0,40}",
                r"(?:you (?:must|need to) (?:be|have)|please) (?:log|logged|sign|signed)[ -]?in to [^.]{1,60}",
            ),
        ),
        (
            "navigation_line",
            60,
            (
                r"skip to (?:main |primary )?(?:content|navigation|search)|jump to (?:navigation|content|search)",
                r"(?:back|return|go|scroll) to (?:the )?top|toggle (?:navigation|menu|search|sidebar)|(?:main )?menu|"
                r"search this (?:site|blog)|site ?map|contact us|about us|"
                r"loading",
            ),
        ),
        (
            "related_line",
            60,
            (
                r"related (?:articles?|posts?|stories|news|content|topics|links|coverage|reading)",
                r"you (?:may|might) (?:also|be) (?:like|enjoy|interested in)[\w ]{0,20}",
                r"recommended (?:for you|reading|articles|stories)|trending(?: now)?|what to read next",
                r"(?:most|more) (?:read|popular|viewed|commented|shared)|editor'?s'? picks?",
                r"(?:popular|recent|latest) (?:posts|articles|comments)",
            ),
        ),
    )
)
"""Short lines around English text: what a page's buttons, counters, bars and banners say."""

_ZH_SHARING = "新浪微博|腾讯微博|微博|微信好友|微信|朋友圈|QQ空间|分享(?:到|至|给)?"
_ZH_WITH_SHARING = "QQ好友|QQ|人人网|豆瓣|开心网|百度贴吧|贴吧|复制链接|收藏|打印|更多"
_ZH_COUNTED = "阅读|浏览|点击|评论|点赞|赞|收藏|分享|转发|热度|播放|回复|跟贴|参与|人气|围观|喜欢|下载|回应|留言"
_ZH_NAME = r"(?:[\u4e00-\u9fff]{1,6}[a-z\d]{0,10}|[a-z\d]{1,20})"

CHINESE_LINES = tuple(
    _short_line(name, ("zh",), most_chars, bodies)
    for name, most_chars, bodies in (
        (
            "zh_read_more_line",
            30,
            (
                r"(?:点击)?(?:阅读|查看|展开|显示|浏览|加载|载入|了解|点击查看)(?:全文|更多|全部|详情|原文|剩余\d*%?|余下全文|更多内容|全部内容)",
                r"(?:点击)?(?:展开阅读全文|继续阅读|点击阅读|更多|收起(?:全文)?|详细|(?:正在|努力)?(?:加载|载入)中|正在(?:加载|载入))",
            ),
        ),
        (
            "zh_cookie_line",
            150,
            (
                r"(?:接受|同意|拒绝|管理)(?:所有|全部)?\s?cookies?(?:设置)?|cookies?\s?(?:设置|政策|偏好)",
                r"(?:我们|本站|本网站|此网站|继续(?:使用|浏览))"
                r"(?=.*(?:站|浏览|体验|隐私|同意|接受|政策|服务|设置|访问|广告|个性化)).{0,60}cookies?.{0,80}",
                r"我知道了(?!。)|同意并继续|(?:接受|同意|拒绝)(?:所有|全部)|隐私(?:权?政策|设置|声明)",
            ),
        ),
        (
            "zh_share_line",
            60,
            (
                rf"(?:(?:{_ZH_WITH_SHARING})[\W_]*)*(?:{_ZH_SHARING})[\W_]*(?:(?:{_ZH_WITH_SHARING}|{_ZH_SHARING})[\W_]*)*",
                r"(?:用|使用|打开)?(?:微信)?(?:扫一扫|扫描[^。！？]{0,12}(?:码|下载))[^。！？]{0,40}|(?:长按|扫码)[^。！？]{0,12}(?:二维码|关注)[^。！？]{0,20}",
                r"(?:欢迎)?(?:关注|订阅)(?:我们)?的?(?:(?:官方|微信|微博|公众号)[^。！？]{0,30})?|举报|检举",
            ),
        ),
        (
            "zh_counter_line",
            60,
            (
                rf"(?:(?:{_ZH_COUNTED})(?:数|量|次数|人数)?[\s:：(（]*\d[\d,.]*\s*[万千kw+]*\s?[次人条]?[\W_]*)+",
                rf"(?:已有\s*)?(?:\d[\d,.]*\s*[万千kw+]*\s?[次人条个]?\s?(?:{_ZH_COUNTED})[\W_]*)+",
                r"(?:发表|查看|我要|网友|最新|全部|热门|暂无|文章|用户)评论(?:[\s(（]*\d+\s?条?)?|我来说两句|抢沙发|条评论",
            ),
        ),
        (
            "zh_advertisement_line",
            40,
            (
                r"广告|推广|赞助商链接|赞助内容|商业推广|广告位招租",
                r"(?:打开|下载|安装)[^。！？]{0,12}(?:APP|客户端)[^。！？]{0,20}",
            ),
        ),
        (
            "zh_copyright_line",
            140,
            (
                r"(?:版权所有|版权声明|免责声明)(?:(?:[\W_a-z\d]|违者|未经|不得|翻印|侵权|请勿|归)[^。]{0,120})?",
                r"(?:本文版权|版权归)[^。]{0,120}|(?:copyright\b|©).{0,120}",
                r".{0,40}ICP[备证].{0,60}|.{0,10}公网安备.{0,40}|.{0,10}增值电信业务经营许可证.{0,60}",
                r"未经(?:本站|本网|作者|授权|许可|书面|允许).{0,40}(?:不得|禁止|严禁|请勿|谢绝|追究).{0,60}",
                rf"(?:责任编辑|责编|本文编辑|编辑|校对|审核)\s*[:：]\s*(?:{_ZH_NAME}(?:[\W_]+{_ZH_NAME}){{0,5}})?",
            ),
        ),
        (
            "zh_breadcrumb_line",
            90,
            (
                r"(?=.*(?:您|你|我的|当前|现在|首页|主页|[>»›→]))(?:您|你|我)?(?:现在|当前|所在)?的?(?:当前|所在)?位置(?:是)?\s*[:：].{0,70}",
                r"(?:首页|主页|网站首页)\s*(?:[>»›/|→＞]|&gt;|-\s).{0,70}",
            ),
        ),
        (
            "zh_page_line",
            70,
            (
                r"第\s*\d+\s*页(?:[\s/／,，共]+\d+\s*页)?|共\s*\d+\s*页[^。]{0,30}",
                r"(?=[^页]*页)(?:(?:上一页|下一页|首页|尾页|末页|上页|下页|\d+(?!\d))[\W_]*){1,14}(?<=[页\W])(?<!\d)",
                r"(?:上一篇|下一篇|上一条|下一条|前一篇|后一篇|上一章|下一章)(?:\s*[:：].{0,60}|[\W_]*(?:下一篇|下一条|下一章|目录|返回[^。]{0,4})?)",
            ),
        ),
        (
            "zh_login_line",
            40,
            (
                r"(?:请先?|用户|会员|立即|免费|快速|您?需要)?(?:登录|登陆|登入|注册)(?:[\W_或后]*(?:登录|登陆|登入|注册|发表评论|才?可以?(?:见|查看|评论|回复)[^。]{0,8}))*",
                r"忘记密码|记住(?:我|密码)|自动登录|没有(?:账|帐)号[^。]{0,10}|退出登录|个人中心",
            ),
        ),
        (
            "zh_navigation_line",
            60,
            (
                r"(?:(?:返回|回到)(?:顶部|首页|列表|目录|上一页)|加入收藏|收藏本[站页]|设为(?:首页|主页)|关闭(?:窗口|本页)?|打印(?:本页|本文)?|"
                r"网站地图|联系我们|关于我们|网站首页|意见反馈|投诉建议|帮助中心|友情链接|广告服务|法律声明|人才招聘|"
                r"【?(?:字体|字号)[\s:：]*[大中小\s]{0,10}】?)(?:[\W_]+(?:返回顶部|返回首页|联系我们|关于我们|网站地图|广告服务|法律声明|"
                r"人才招聘|关闭(?:窗口)?|打印(?:本页)?|收藏|意见反馈|免责声明|友情链接|版权声明))*",
            ),
        ),
        (
            "zh_related_line",
            30,
            (
                r"相关(?:阅读|文章|新闻|推荐|链接|报道|专题|内容|资讯)|猜你喜欢|热门(?:推荐|文章|新闻|标签|资讯)|推荐阅读|延伸阅读|精彩推荐",
                r"(?:为您|为你)推荐|最新(?:文章|资讯|更新|发布)|大家都在看|更多精彩(?:内容)?|今日热点|点击排行|阅读排行|热点(?:新闻|推荐)",
            ),
        ),
    )
)
"""Short lines around Chinese text, written in simplified characters; they find traditional ones too."""
