"""Chat templates (Jinja) that go with a tokenizer: messages to text, the end of an answer inside its trained part.

>>> tokenizer.chat_template = NAMED["chatml"]
"""

START, END = "<|im_start|>", "<|im_end|>"

_TOOLS = """{%- if tools %}{{ OPEN_SYSTEM }}
{%- if messages[0].role == 'system' %}{{ messages[0].content + '\\n\\n' }}{% endif -%}
Tools that can be called, one a line:
{%- for tool in tools %}{{ '\\n' + (tool | tojson) }}{% endfor %}{{ CLOSE }}
{%- endif -%}"""
_CALLS = """{%- for call in message.tool_calls or [] %}
{{- '\\n<tool_call>' + ((call.function or call) | tojson) + '</tool_call>' }}{% endfor -%}"""

CHATML = (
    "{%- set OPEN_SYSTEM = '<|im_start|>system\\n' %}{%- set CLOSE = '<|im_end|>\\n' %}"
    + _TOOLS
    + """{%- for message in messages %}
{%- if message.role == 'system' and tools and loop.first %}{% continue %}{% endif %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.role == 'assistant' %}{% generation %}{{ message.content or '' }}"""
    + _CALLS
    + """{{- '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}
{%- else %}{{ (message.content or '') + '<|im_end|>\\n' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
)
"""ChatML, whose two tokens our tokenizers have; tools stand in the system's turn, calls as JSON between two tags."""

PLAIN = (
    "{%- set OPEN_SYSTEM = 'System:\\n' %}{%- set CLOSE = '\\n\\n' %}"
    + _TOOLS
    + """{%- for message in messages %}
{%- if message.role == 'system' and tools and loop.first %}{% continue %}{% endif %}
{{- (message.role | capitalize) + ':\\n' }}
{%- if message.role == 'assistant' %}{% generation %}{{ message.content or '' }}"""
    + _CALLS
    + """{{- eos_token }}{% endgeneration %}{{ '\\n\\n' }}
{%- else %}{{ (message.content or '') + '\\n\\n' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ 'Assistant:\\n' }}{% endif %}"""
)
"""Names and line breaks, for tokenizers without the two tokens; an answer ends with the end-of-text token."""

NAMED = {"chatml": CHATML, "plain": PLAIN}
