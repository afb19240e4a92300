"""Chat templates of the known families, and templates that mean harm."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragcli.generation.base import Message, Role
from ragcli.llama.template import ChatTemplate, Piece, TemplateError

CHATML = """{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""

LLAMA3 = """{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = '' %}
{%- endif %}
{{- '<|start_header_id|>system<|end_header_id|>\n\n' }}
{{- 'Today: ' + strftime_now('%Y') + '\n\n' if strftime_now is defined and '%' in '%' else '' }}
{{- system_message + '<|eot_id|>' }}
{%- for m in messages %}
    {{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"""

GEMMA = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}
{{- raise_exception('System role not supported') }}{% endif %}
{%- for m in messages %}
{%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}
{%- if m['role'] == 'assistant' %}{% set role = 'model' %}{% else %}{% set role = m['role'] %}{% endif %}
{{- '<start_of_turn>' + role + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"""

MISTRAL = """{{ bos_token }}{% for m in messages %}
{%- if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}
{%- elif m['role'] == 'assistant' %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}"""

QWEN3 = """{%- if messages[0].role == 'system' %}
{{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}{%- endif %}
{%- for m in messages %}{%- if m.content is string %}{%- set content = m.content %}{%- endif %}
{%- if m.role == 'user' %}{{- '<|im_start|>user\n' + content + '<|im_end|>\n' }}
{%- elif m.role == 'assistant' %}
{%- generation %}
{{- '<|im_start|>assistant\n' + content.split('</think>')[-1].lstrip('\n') + '<|im_end|>\n' }}{% endgeneration %}
{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}
{{- '<think>\n\n</think>\n\n' }}{%- endif %}{%- endif %}"""

TALK = (
    Message("system", "Be brief."),
    Message("user", "First?"),
    Message("assistant", "One."),
    Message("user", "Second?"),
)


def render(source: str | None, *messages: Message) -> str:
    """Return the prompt as one text."""
    template = ChatTemplate(source, bos="<s>", eos="</s>")
    assert source is None or not template.warning
    return "".join(p.text for p in template.pieces(messages))


def test_chatml() -> None:
    pieces = ChatTemplate(CHATML).pieces(TALK[:2])
    assert pieces == [
        Piece("<|im_start|>system\n", False),
        Piece("Be brief.", True),
        Piece("<|im_end|>\n<|im_start|>user\n", False),
        Piece("First?", True),
        Piece("<|im_end|>\n<|im_start|>assistant\n", False),
    ]


def test_llama3_trims_and_knows_the_year() -> None:
    assert render(LLAMA3, Message("system", " a "), Message("user", "\n b\n")) == (
        "<s><|start_header_id|>system<|end_header_id|>\n\nToday: " + time.strftime("%Y") + "\n\na<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nb<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_gemma_gets_the_system_text_with_the_first_question() -> None:
    assert render(GEMMA, *TALK) == (
        "<s><start_of_turn>user\nBe brief.\n\nFirst?<end_of_turn>\n<start_of_turn>model\nOne.<end_of_turn>\n"
        "<start_of_turn>user\nSecond?<end_of_turn>\n<start_of_turn>model\n"
    )
    assert [p.text for p in ChatTemplate(GEMMA).pieces(TALK) if p.is_content] == [m.content for m in TALK]
    assert "Be brief.\n\n<end_of_turn>" not in render(GEMMA, TALK[0], Message("user", "x"))


def test_a_template_that_drops_the_system_text_gets_it_with_the_question() -> None:
    assert render(MISTRAL, *TALK) == "<s>[INST] Be brief.\n\nFirst? [/INST]One.</s>[INST] Second? [/INST]"


def test_qwen3_answers_without_thinking_aloud() -> None:
    assert render(QWEN3, *TALK).endswith(
        "<|im_start|>user\nSecond?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    assert "<|im_start|>assistant\nOne.<|im_end|>" in render(QWEN3, *TALK)


def test_no_template() -> None:
    assert render(None, *TALK) == "System: Be brief.\n\nUser: First?\n\nAssistant: One.\n\nUser: Second?\n\nAssistant:"
    assert "none" in ChatTemplate(None).warning


@given(st.lists(st.text(max_size=50), min_size=1, max_size=4), st.sampled_from([CHATML, GEMMA, LLAMA3, MISTRAL, None]))
def test_contents_never_pass_through_the_template(contents: list[str], source: str | None) -> None:
    roles: tuple[Role, ...] = ("user", "assistant") * 2
    messages = [Message(role, content) for role, content in zip(roles, contents, strict=False)]
    template = ChatTemplate(source)
    pieces = template.pieces(messages)
    assert [p.text for p in pieces if p.is_content] == [c.strip() for c in contents]
    blank = template.pieces([Message(m.role, "x") for m in messages])
    assert [p for p in pieces if not p.is_content] == [p for p in blank if not p.is_content]


def test_a_content_that_is_a_template_stays_text() -> None:
    assert "{{ 7 * 7 }} {% raw %} {# no #}" in render(CHATML, Message("user", "{{ 7 * 7 }} {% raw %} {# no #}"))


@pytest.mark.parametrize(
    "source",
    [
        "",
        "hello",
        "{{ messages[0].content",
        "{% unknown %}",
        "{{ messages[5].content }}",
        "{{ 1 / 0 }}",
        "{{ messages[0].content | upper }}",
        "{{ messages | length }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ strftime_now.__globals__ }}",
        "{% for a in range(1000) %}{% for b in range(1000) %}{{ 'x' * 1000 }}{% endfor %}{% endfor %}",
        "{% include '/etc/passwd' %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ strftime_now(1) }}",
        "{% if x %}" * 200,
        "{{ " + "(" * 10_000 + ")" * 10_000 + " }}",
    ],
)
def test_a_template_that_cannot_be_used_is_named_and_replaced(source: str) -> None:
    template = ChatTemplate(source)
    assert "plain form" in template.warning and "\n" not in template.warning
    assert "".join(p.text for p in template.pieces(TALK[1:2])) == "User: First?\n\nAssistant:"
    assert template.stop


def test_roles_that_a_template_refuses() -> None:
    with pytest.raises(TemplateError, match="alternate"):
        ChatTemplate(GEMMA).pieces([TALK[1], TALK[3]])
