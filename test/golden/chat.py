"""What transformers' apply_chat_template renders. Needs transformers and jinja2; the tests do not run this.

python test/golden/chat.py
    writes formats/chat.json (small templates in the style of the families') and formats/chat_constructed.json (a template
    for each feature, from chat_constructed.py).
python test/golden/chat.py --real FOLDER
    renders each *.jinja file and each tokenizer_config.json's chat_template under FOLDER over the conversations below, and
    writes formats/chat_real.json: hashes of the templates and of the results. The templates themselves are not kept; the
    test reads them where CONCLAVE_CHAT_TEMPLATES names the folder.
"""

import argparse
import hashlib
import json
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from unittest import mock

from jinja2 import TemplateError
from transformers.utils import chat_template_utils

import chat_constructed

TEMPLATES = {
    "chatml": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- "# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}{{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- if message.role == 'user' and ns.last == messages|length - 1 %}
        {%- set ns.last = messages|length - 1 - loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'assistant' and '</think>' in message.content %}
        {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
    {%- else %}
        {%- set content = message.content %}
    {%- endif %}
    {%- if not (message.role == 'system' and loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- for call in message.tool_calls or [] %}
            {{- '\\n' + call.name ~ ':' ~ (call.arguments | tojson) }}
        {%- endfor %}
        {{- '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}""",
    "inst": """{{ bos_token }}{% for message in messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate user/assistant') }}{% endif %}
{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] | trim + ' [/INST]' }}
{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}
{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}
{% endfor %}
""",
    "headers": """{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = strftime_now("%d %b %Y") %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}{%- set messages = messages[1:] %}
{%- else %}{%- set system_message = "" %}{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\nToday Date: " + date_string + "\\n\\n" + system_message + "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}
""",
    "channels": """{%- macro header(role, channel=none) -%}
<|start|>{{ role }}{% if channel is not none %}<|channel|>{{ channel }}{% endif %}<|message|>
{%- endmacro -%}
{{- header("system") }}Current date: {{ strftime_now("%Y-%m-%d") }}
Reasoning: {{ reasoning_effort | default("medium") }}<|end|>
{%- for message in messages -%}
    {%- if message.role == "assistant" -%}
        {{- header("assistant", "final") }}{{ message.content }}<|end|>
    {%- elif message.role in ["user", "system"] -%}
        {{- header("developer" if message.role == "system" else "user") }}{{ message.content }}<|end|>
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|start|>assistant{%- endif -%}""",
    "markers": """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}
{% set ns = namespace(is_first=true, system='') %}
{% for m in messages if m['role'] == 'system' %}{% set ns.system = ns.system ~ m['content'] %}{% endfor %}
{{ bos_token }}{{ ns.system }}
{%- for m in messages %}
{%- if m['role'] == 'user' %}{{ '<｜User｜>' + m['content'] }}
{%- elif m['role'] == 'assistant' %}{% generation %}{{ '<｜Assistant｜>' + m['content'] + eos_token }}{% endgeneration %}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}""",
}

TURNS = [{"role": "user", "content": " Hello, whale! "}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nAhoy.\nWho is there?"},
         {"role": "user", "content": "Ünïcödé 😀 \"quoted\"\n  indented <|im_end|>"}]
SYSTEM = {"role": "system", "content": "You are Ishmael. "}
TOOL = {"type": "function", "function": {"name": "sail", "description": "Sails to \"a\" place.",
        "parameters": {"type": "object", "properties": {"to": {"type": "string"}, "knots": {"type": "number", "default": 1.5}}, "required": ["to"]}}}
CALL = {"role": "assistant", "content": "", "tool_calls": [{"name": "sail", "arguments": {"to": "Nantucket", "fast": True, "crew": None}}]}

CASES = [
    {"messages": TURNS, "add_generation_prompt": True},
    {"messages": TURNS[:2], "add_generation_prompt": False},
    {"messages": [SYSTEM, *TURNS], "add_generation_prompt": True},
    {"messages": TURNS[:1], "add_generation_prompt": True, "variables": {"enable_thinking": False, "reasoning_effort": "high", "date_string": "26 Jul 2024"}},
    {"messages": [SYSTEM, TURNS[0], CALL, {"role": "tool", "content": "{\"ok\": true}"}], "add_generation_prompt": True, "tools": [TOOL]},
]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


class Noon(datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 3, 7, 9, 5, 0)


OUT = Path(__file__).parent / "formats"

REASONING = [SYSTEM, TURNS[0], {"role": "assistant", "content": "Ahoy.", "reasoning_content": "hm\nwell", "reasoning": "hm\nwell"}, TURNS[2]]


def tool_turns(arguments):
    call = {"id": "call00001", "type": "function", "function": {"name": "sail", "arguments": arguments}}
    return [SYSTEM, TURNS[0], {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "name": "sail", "tool_call_id": "call00001", "content": "{\"ok\": true}"}]


# Conversations for real templates; each with and without a prompt for the answer.
REAL_CASES = [
    {"messages": TURNS[:1]},
    {"messages": [SYSTEM, *TURNS]},
    {"messages": REASONING},
    {"messages": REASONING, "variables": {"enable_thinking": False, "thinking": True, "reasoning_effort": "high"}},
    {"messages": [SYSTEM, TURNS[0]], "tools": [TOOL]},
    {"messages": tool_turns({"to": "Nantucket", "fast": True, "knots": 1.5, "crew": None}), "tools": [TOOL]},
    {"messages": tool_turns("{\"to\": \"Nantucket\"}"), "tools": [TOOL]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "parts"}]}]},
]


def render(template, case, prompt):
    rendered, _ = chat_template_utils.render_jinja_template(
        [case["messages"]], tools=case.get("tools"), chat_template=template, add_generation_prompt=prompt,
        **TOKENS, **case.get("variables", {}))
    return rendered[0]


def write(name, golden):
    (OUT / name).write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def families():
    results = []
    for name, template in TEMPLATES.items():
        for index, case in enumerate(CASES):
            try:
                results.append({"template": name, "case": index, "text": render(template, case, case["add_generation_prompt"])})
            except TemplateError as error:
                results.append({"template": name, "case": index, "error": str(error)})
    write("chat.json", {"templates": TEMPLATES, "tokens": TOKENS, "cases": CASES, "results": results})


def constructed():
    """`text`, or `raises` with the exception's class. Texts that name a place in memory can be no test: they are `address`."""
    results = []
    for group, template in chat_constructed.cases():
        result = {"group": group, "template": template}
        try:
            compiled = chat_template_utils._compile_jinja_template(template)
            text = compiled.render(**deepcopy(chat_constructed.CONTEXT), add_generation_prompt=False, documents=None, **TOKENS)
            result |= {"address": True} if " at 0x" in text else {"text": text}
        except Exception as error:
            result["raises"] = type(error).__name__
        results.append(result)
    write("chat_constructed.json", {"context": chat_constructed.CONTEXT, "tokens": TOKENS, "results": results})


def real_templates(folder):
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".jinja":
            yield path.read_text(encoding="utf-8")
        elif path.name.endswith("tokenizer_config.json"):
            stored = json.loads(path.read_text(encoding="utf-8")).get("chat_template")
            yield from [stored] if isinstance(stored, str) else [one["template"] for one in stored or []]


def digest(text):
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def real(folder):
    """For each template a hash, and for each conversation the hash of the text; null where transformers raises."""
    results = {}
    for template in real_templates(folder):
        texts = []
        for case in REAL_CASES:
            for prompt in (False, True):
                try:
                    texts.append(digest(render(template, case, prompt)))
                except Exception:
                    texts.append(None)
        results[digest(template)] = texts
    write("chat_real.json", {"tokens": TOKENS, "cases": REAL_CASES, "results": dict(sorted(results.items()))})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--real", type=Path)
    folder = parser.parse_args().real
    with mock.patch.object(chat_template_utils, "datetime", Noon):
        if folder is None:
            families()
            constructed()
        else:
            real(folder)


main()
