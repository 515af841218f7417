"""Small templates, each about one feature of Jinja as Python has it; chat.py renders them with transformers.

All of them see the same CONTEXT. An expression alone stands for a template that prints it.
"""

CONTEXT = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "<think>\n  step 1 \n</think>\n\n    x = 1\n    y = 2", "tool_calls": [
            {"id": "a1", "function": {"name": "f", "arguments": {"x": 1, "ok": True, "none": None, "list": [1, 2.5, "é"]}}}]},
        {"role": "tool", "content": "42"},
        {"role": "user", "content": "More \"quotes\" and 'single' ones\t😀"},
    ],
    "tools": [{"type": "function", "function": {"name": "get", "description": "Gets <it> & 'that' \"too\"", "parameters": {"b": 1, "a": {"z": [], "y": {}}}}}],
    "n": 7, "half": 2.5, "zero": 0, "big": 12345678901, "neg": -3, "yes": True, "no": False, "nothing": None,
    "s": "Hello, World", "empty": "", "blank": "  \n ", "uni": "naïve ß 😀 日本語 ǆ", "multi": "one\n\n  two\nthree\n",
    "html": "<b class=\"x\">1 & 2</b> 'q'", "path": "a/b c?d=é&f", "digits": "007", "mixed": "aBc dEf gHI",
    "list": [3, 1, 2], "words": ["pear", "Apple", "fig", "apple", "Fig"], "nested": [[1, [2, None]], {"k": "v", "l": [True]}], "none_list": [1, None, "x", ""],
    "empty_list": [], "empty_dict": {}, "d": {"b": 2, "a": 1, "C": 3}, "attrs": {"class": "a b", "id": None, "data-x": "<&>"},
    "people": [{"name": "Ann", "age": 31, "city": {"n": "Oslo"}, "ok": True}, {"name": "bob", "age": 25, "city": {"n": "Rome"}, "ok": False},
               {"name": "Cid", "age": 31, "city": {"n": "oslo"}, "ok": True}, {"name": "Dee", "city": {}}],
    "tree": [{"v": 1, "c": [{"v": 2, "c": [{"v": 3, "c": []}]}, {"v": 4, "c": []}]}, {"v": 5, "c": []}],
    "keyed": {"items": "own items", "keys": 1, "get": "own get", "_private": "p", "a b": 1},
}

# Statements.
LOOPS = r"""
{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% break %}{% endif %}{% endfor %}
{% for i in list %}a{% break %}b{% endfor %}c
{% for i in list %}a{{ i }}{% continue %}b{% endfor %}c
{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for i in range(3) %}{% for j in range(3) %}{% if j == 1 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}|{% endfor %}
{% for i in range(3) %}{% for j in range(3) %}{% if j == 1 %}{% continue %}{% endif %}{{ i }}{{ j }} {% endfor %}|{% endfor %}
{% for i in range(3) %}{{ i }}{% break %}{% else %}none{% endfor %}
{% for i in range(3) %}{{ i }}{% continue %}{% else %}none{% endfor %}
{% for i in range(3) %}{{ i }}{% if i == 1 %}{% break %}{% endif %}{% else %}none{% endfor %}
{% for i in range(3) %}{{ i }}{% else %}none{% endfor %}
{% for i in [] %}{{ i }}{% else %}none{% endfor %}
{% for i in range(2) %}{% for j in [] %}{% else %}{% break %}{% endfor %}{{ i }}{% endfor %}!
{% for i in range(2) %}{% for j in [] %}{% else %}{% continue %}{% endfor %}{{ i }}{% endfor %}!
{% break %}
{% continue %}
{% if true %}{% break %}{% endif %}
{% macro m() %}{% break %}{% endmacro %}
{% for i in list %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}
{% for i in list %}{% set x %}a{% break %}{% endset %}{{ x }}{% endfor %}c
{% for i in list %}{{ i }}{% set x %}a{% continue %}{% endset %}{{ x }}{% endfor %}c
{% for i in list %}{% filter upper %}a{{ i }}{% if i == 1 %}{% break %}{% endif %}{% endfilter %}{% endfor %}c
{% for i in list %}{% with a = i %}{% if a == 1 %}{% break %}{% endif %}{{ a }}{% endwith %}{% endfor %}
{% for i in list %}{% generation %}{{ i }}{% endgeneration %}{% endfor %}
{% for i in list %}{% generation %}{% break %}{% endgeneration %}{% endfor %}
{% macro m() %}{{ caller() }}{% endmacro %}{% for i in list %}{% call m() %}{% break %}{% endcall %}{% endfor %}
{% for i in list recursive %}{{ i }}{% break %}{% endfor %}
{% for i in [] recursive %}{% else %}{% break %}{% endfor %}
{% for i in list %}{% for j in [] recursive %}{% else %}{% break %}{% endfor %}{% endfor %}
{% for i in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}
{% for i in 'abcde' %}{{ loop.cycle('x', 'y', 'z') }}{% endfor %}
{% for i in list %}{{ loop.cycle() }}{% endfor %}
{% for i in list %}[{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }}]{% endfor %}
{% for i in list %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }} {% endfor %}
{% for i in none_list %}{{ loop.nextitem is none }}{{ loop.previtem is none }} {% endfor %}
{% for i in [1, 1, 2, 2, 1] %}{% if loop.changed(i) %}{{ i }}{% endif %}{% endfor %}
{% for i in [1, 1, 2] %}{{ loop.changed(i, 2) }} {% endfor %}
{% for i in range(2) %}{% for j in range(2) %}{{ loop.index }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}{{ loop.index }}{% endfor %}
{% for i in list %}{% set outer = loop %}{% for j in list %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}
{{ loop.index }}
{{ loop is defined }}
{% for i in list %}{{ loop }}{% endfor %}
{% for i in list %}{{ loop | length }}{{ loop['index'] }}{% endfor %}
{% for i in list %}{{ loop.nosuch is defined }}{% endfor %}
{% for i in list %}{{ loop._iterable }}{% endfor %}
{% for k in d %}{{ k }}{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{% for k, v in d | items %}{{ k }}={{ v }};{{ loop.last }}{% endfor %}
{% for k in d.keys() %}{{ k }}{{ loop.length }}{% endfor %}
{% for v in d.values() %}{{ v }}{% endfor %}
{% for c in 'aß😀' %}{{ c }}|{{ loop.revindex }}{% endfor %}
{% for i in range(3, 9, 2) %}{{ i }}{% endfor %}
{% for i in range(9, 3, -2) %}{{ i }}{% endfor %}
{% for i in range(-2, 2) %}{{ i }},{% endfor %}
{% for i in 5 %}{% endfor %}
{% for i in none %}{% endfor %}
{% for i in missing %}x{% else %}y{% endfor %}
{% for a, b in [[1, 2], [3, 4]] %}{{ a }}{{ b }}{% endfor %}
{% for a, b in [[1, 2], [3]] %}{{ a }}{{ b }}{% endfor %}
{% for a, b in [[1, 2, 3]] %}{{ a }}{{ b }}{% endfor %}
{% for a, b in ['xy', 'zw'] %}{{ a }}{{ b }}{% endfor %}
{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for (a, b) in [(1, 2)] %}{{ a + b }}{% endfor %}
{% for a, in [[1], [2]] %}{{ a }}{% endfor %}
{% for m in messages if m.role == 'user' %}{{ loop.index }}/{{ loop.length }}{{ m.content }}{% else %}none{% endfor %}
{% for m in messages if m.role == 'nobody' %}{{ m.content }}{% else %}none{% endfor %}
{% for i in range(6) if i % 2 %}{{ i }}{{ loop.last }}{{ loop.revindex }}{% endfor %}
{% for i in list %}{% for j in list if j > loop.index %}{{ j }}{% endfor %}|{% endfor %}
{% for i in list if loop.index %}{{ i }}{% endfor %}
{% for a, b in [[1, 2], [3, 4], [5, 6]] if a > 1 %}{{ loop.previtem }}{{ b }}{% endfor %}
{% for n in tree recursive %}{{ n.v }}{{ loop.depth }}({{ loop(n.c) }}){% endfor %}
{% for n in tree recursive %}{{ n.v }}{% if n.c %}[{{ loop(n.c) }}]{% else %}.{% endif %}{% else %}E{% endfor %}
{% for n in tree recursive if n.v != 4 %}{{ n.v }}{{ loop(n.c) }}{% endfor %}
{% for n in tree recursive %}{{ n.v }}{% if n.v == 2 %}{% break %}{% endif %}{{ loop(n.c) }}{% endfor %}
{% for n in tree %}{{ loop(n.c) }}{% endfor %}
{% for n in tree if n.v == 1 recursive %}{{ n.v }}{{ loop(n.c) }}{% endfor %}
{% for loop in list %}{% endfor %}
{% for i in list %}{% set loop = 1 %}{% endfor %}
{% for i in list %}{% endfor %}{{ i is defined }}
{% for x in list | sort %}{{ x }}{% endfor %}
{% for x in list | reverse %}{{ x }}{{ loop.length }}{% endfor %}
{% for x in list[::-1] %}{{ x }}{% endfor %}
{% for x in (1, 2, 3) %}{{ x }}{% endfor %}
{% for x in 1, 2, 3 %}{{ x }}{% endfor %}
{% for x in list | map('string') %}{{ x ~ loop.last ~ loop.index }}{% endfor %}
{% for x in list if x is odd %}{{ x }}{% endfor %}
{% for x in list: %}{{ x }}{% endfor %}
{% for a in list %}{{ a }}{% if not loop.last %}, {% endif %}{% endfor %}
{% for m in messages %}{%- if loop.first and m.role == 'system' %}{{ m.content }}{% continue %}{% endif %}({{ m.role }}){% endfor %}
{% for i in list %}{% endfor
{% for i in list %}
{% for i list %}{% endfor %}
{% endfor %}
"""

SCOPES = r"""
{% set x = 1 %}{% for i in list %}{{ x }}{% set x = i %}{% endfor %}{{ x }}
{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}
{% if false %}{% set x = 2 %}{% endif %}{{ x is defined }}
{% if false %}{% set n = 2 %}{% endif %}{{ n }}
{% if true %}{% set x = 2 %}{% else %}{% set y = 3 %}{% endif %}{{ x }}{{ y }}
{% for i in list %}{% if i == 1 %}{% set x = i %}{% endif %}{{ x }}|{% endfor %}
{% for i in list %}{% if i == 3 %}{% set n = i %}{% endif %}{{ n }}|{% endfor %}{{ n }}
{% set ns = namespace(x=1) %}{% for i in list %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}
{% set ns = namespace() %}{% set ns.a = [1] %}{{ ns.a }}{{ ns.b is defined }}
{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{{ ns }}
{% set ns = namespace(a=1) %}{{ ns['a'] }}{{ ns.items is defined }}
{% set ns = namespace(_a=1) %}{{ ns._a }}|{{ ns._a is defined }}
{% set d.x = 1 %}
{% set missing.x = 1 %}
{% set ns = namespace(a=1, b=2) %}{% set ns.a, ns.b = ns.b, ns.a %}{{ ns.a }}{{ ns.b }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set a, b = [1, 2, 3] %}
{% set (a, b) = 'xy' %}{{ a }}{{ b }}
{% set a = b = 1 %}
{% set x = 1, 2 %}{{ x }}
{% set x = (1,) %}{{ x }}
{% set 1 = 2 %}
{% set true = 2 %}
{% set x %}a{{ n }}b{% endset %}{{ x }}{{ x | length }}
{% set x | upper %}abc{% endset %}{{ x }}
{% set x | replace('a', 'b') | upper %}aac{% endset %}{{ x }}
{% set x %}{% set y = 1 %}{{ y }}{% endset %}{{ x }}{{ y is defined }}
{% set x | default(q) %}a{% endset %}{{ x }}
{% with %}{% set x = 1 %}{{ x }}{% endwith %}{{ x is defined }}
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}
{% with a = 1, b = a %}{{ b }}{% endwith %}
{% set a = 5 %}{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% with n = n + 1 %}{{ n }}{% endwith %}{{ n }}
{% if no %}a{% elif n == 7 %}b{% else %}c{% endif %}
{% if no %}a{% elif no %}b{% elif nothing %}d{% else %}c{% endif %}
{% if n == 7: %}a{% endif %}
{% if no %}a{% else if yes %}b{% endif %}
{% if %}{% endif %}
{% if yes %}
{% if yes %}a{% endfor %}
{{ 'a' if yes }}|{{ 'a' if no }}|{{ ('a' if no) is defined }}
{{ 'a' if no else 'b' if no else 'c' }}
{{ ('a' if no) + 'b' }}
{{ 1 if missing else 2 }}
{{ missing if no else 3 }}
{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% set x = 2 %}{{ m() }}
{% macro m() %}{{ x }}{% endmacro %}{{ m() }}|{% set x = 2 %}{{ m() }}
{% macro m() %}{{ n }}{% endmacro %}{{ m() }}|{% set n = 2 %}{{ m() }}
{% macro m() %}{% set n = 1 %}{{ n }}{% endmacro %}{{ m() }}{{ n }}
{% for i in list %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}
{% for i in list %}{% macro m() %}{{ i }}{% endmacro %}{% endfor %}{{ m is defined }}
{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}
{% macro f(k) %}{{ k }}{% if k > 0 %}{{ f(k - 1) }}{% endif %}{% endmacro %}{{ f(3) }}
{% block a %}x{{ n }}{% endblock %}y
{% set q = 3 %}{% block a %}{{ q }}{% set q = 4 %}{% endblock %}{{ q }}
{% for i in list %}{% block a %}{{ i is defined }}{% endblock %}{% endfor %}
{% for i in list %}{% block a scoped %}{{ i }}{{ loop.index }}{% endblock %}{% endfor %}
{% block a required %}{% endblock %}
{% block a %}1{% endblock a %}{% block b %}2{% endblock %}
{% block a %}1{% endblock %}{% block a %}2{% endblock %}
{% include 'x' %}
{% if no %}{% include 'x' %}{% endif %}ok
{% import 'x' as y %}
{% from 'x' import y %}
{% extends 'x' %}
{% autoescape false %}{{ html }}{% set x = 1 %}{% endautoescape %}{{ x is defined }}
{% print n, s %}
{% do list.append(1) %}
{% nosuch %}
{% raw %}{{ n }}{% if %}{% endraw %}
{% raw -%}  a {{ }} {%- endraw %}b
a {%- raw %} {% b {% endraw -%} c
a{# comment {{ x }} {% if %} #}b
a {#- c -#} b
a{# c #}
b
a {#+ c +#}
b
{# open
{% raw %}
{{ n
{{ n }
{{ }}
{% %}
{{ n }}}
{{ {'a': {'b': 1}} }}
{{ {'a': 1}['a']}}
{{-n-}}
a {{- n -}} b
a {{ n }}   

  {% if yes %}  
  x
  {% endif %}  
y
a  {%- if yes -%}  b  {%- endif -%}  c
a  {%+ if yes %}  b  {%+ endif %}  c
a
  {%+ if yes +%}
b
  {% endif +%}
c
{% if yes -%}

  x

{%- endif %}

{{ n }}
{{ s }}{% if yes %}
{% endif %}
tail
    {{ n }}
	{% set x = 1 %}	
z
{{ "a" }}  {# c #}  {{ "b" }}
<{{ '' }}>
{% filter upper %}a{{ s }}{% endfilter %}
{% filter replace('a', 'b') | upper %}aXa{% endfilter %}
{% filter trim %}  x  {% set y = 1 %}{% endfilter %}|{{ y is defined }}
{% filter indent(width=2) %}a
b{% endfilter %}
{% filter nosuch %}a{% endfilter %}
{% generation %}a{% set x = 1 %}{% endgeneration %}{{ x is defined }}
"""

MACROS = r"""
{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(a=4) }}{{ m(b=5, a=6) }}
{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m() }}
{% macro m(a, b=2) %}{{ a is defined }}{% endmacro %}{{ m() }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(c=2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}
{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}
{% macro m(a=b, b=1) %}{{ a }}{{ b }}{% endmacro %}{{ m() }}
{% macro m(a=n) %}{{ a }}{% endmacro %}{{ m() }}
{% macro m(a=1, b) %}{% endmacro %}
{% macro m(a, a) %}{% endmacro %}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}
{% macro m(a) %}{{ a }}{{ varargs | join('-') }}{% endmacro %}{{ m(1, 2, 3) }}
{% macro m(a) %}{{ a }}{{ kwargs.get('z') }}{% endmacro %}{{ m(1, z=3) }}
{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}in{{ n }}{% endcall %}
{% macro m() %}{% for i in list %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(x) m() %}<{{ x }}>{% endcall %}
{% macro m() %}{{ caller(1, y=2) }}{% endmacro %}{% call(x, y=5) m() %}<{{ x }}{{ y }}>{% endcall %}
{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}
{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}
{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}
{% call 1 %}{% endcall %}
{% macro m(a, caller=none) %}{{ a }}{{ caller }}{% endmacro %}{{ m(1) }}
{% macro m(caller) %}{{ caller() }}{% endmacro %}{{ m() }}
{% macro m(a) %}x{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}{{ m.catch_varargs }}{{ m.caller }}
{% macro m(a) %}x{% endmacro %}{{ m }}
{% macro m(a, b) %}{{ a }}-{{ b }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(**{'a': 3, 'b': 4}) }}{{ m(5, **{'b': 6}) }}
{% macro m(a, b) %}{{ a }}{% endmacro %}{{ m(a=1, **{'a': 2}) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1,) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(a=1, a=2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(a=1, 2) }}
{% macro m(x) -%}   {{ x }}   {%- endmacro %}[{{ m('a') }}]
{% macro m(x) %}{% set x = x + 1 %}{{ x }}{% endmacro %}{{ m(1) }}
{% macro m(x) %}{{ x }}{% endmacro %}{{ m('<') | upper }}{{ m('a') ~ 'b' }}{{ m('a') + 'b' }}{{ m('ab') | length }}
{% macro m(x=[]) %}{{ x }}{% endmacro %}{{ m() }}{{ m([1]) }}
{% macro m(if) %}{{ if }}{% endmacro %}{{ m(1) }}
{% macro m(class) %}{{ class }}{% endmacro %}{{ m(class=1) }}
{% macro o() %}{% macro i() %}I{% endmacro %}{{ i() }}{% endmacro %}{{ o() }}
{% macro m() %}{{ varargs }}{% endmacro %}{{ m() }}
{% macro render(item, depth=0) %}{{ ' ' * depth }}{{ item.v }};{% for c in item.c %}{{ render(c, depth + 1) }}{% endfor %}{% endmacro %}{{ render(tree[0]) }}
{{ n() }}
{{ missing() }}
{{ s.nosuch() }}
{{ d.nosuch() }}
{{ cycler(1, 2).next() }}
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.current }}
{{ cycler() }}
{% set j = joiner('|') %}{{ j() }}a{{ j() }}b{{ j() }}c
{% set j = joiner() %}{{ j() }}a{{ j() }}b
{{ dict(a=1, b=2) }}{{ dict([('x', 1)]) }}{{ dict({'y': 2}, z=3) }}{{ dict() }}
{{ dict(1) }}
{{ dict([1]) }}
{{ range(3) }}{{ range(1, 4) }}{{ range(0, 9, 3) }}{{ range(5) | list }}{{ range(5)[1:3] }}{{ range(5)[-1] }}
{{ range(200000) | length }}
{{ range(1, 2, 0) }}
{{ range('a') }}
{{ range(2.0) }}
{{ raise_exception('no ' ~ n) }}
{{ raise_exception() }}
{% if no %}{{ raise_exception('x') }}{% endif %}ok
{{ strftime_now('%Y-%m-%d %H:%M:%S %j %a %A %b %B %y %I %p %M %% %-d %e %D %F %T %R %U %W %V %G %u %w') }}
{{ strftime_now('%d %b %Y') }}
{{ strftime_now() }}
{{ dict }}{{ namespace }}{{ joiner }}{{ cycler }}
{{ lipsum is defined }}{{ range is callable }}{{ dict is callable }}{{ n is callable }}
"""

FILTERS = r"""
list | join
list | join(', ')
list | join('-', attribute='x')
people | join(', ', attribute='name')
people | map(attribute='name') | join(', ')
people | map(attribute='city.n') | join(', ')
people | map(attribute='age', default=0) | list
people | map(attribute='city.n', default='?') | list
people | map(attribute='name', nosuch=1) | list
words | map('upper') | list
words | map('replace', 'p', 'q') | list
words | map('nosuch') | list
words | map() | list
words | map('truncate', 3, true, '') | list
nested | map(attribute=0) | list
list | select('odd') | list
list | select('gt', 1) | list
list | select('in', [1, 2]) | list
none_list | select | list
none_list | reject | list
none_list | select('none') | list
none_list | reject('none') | list
none_list | select('string') | list
list | reject('divisibleby', 3) | list
list | select('nosuch') | list
people | selectattr('ok') | map(attribute='name') | list
people | selectattr('age', 'defined') | map(attribute='name') | list
people | selectattr('age', 'equalto', 31) | map(attribute='name') | list
people | selectattr('age', '==', 31) | list | length
people | rejectattr('ok') | map(attribute='name') | list
people | rejectattr('name', 'in', ['Ann']) | map(attribute='name') | list
people | selectattr() | list
messages | selectattr('role', 'equalto', 'user') | list | last | string
messages | rejectattr('role', 'eq', 'system') | first | attr('role')
messages | map(attribute='role') | unique | list
list | map('string') | length
list | select('odd') | first
(list | select('odd')) is iterable
list | select('odd')
missing | default('x')
missing | d('x')
nothing | default('x')
nothing | default('x', true)
empty | default('x', boolean=true)
empty | default('x')
no | default('x', true)
missing.x | default('y')
d.x | default('y')
missing | default
s | replace('l', 'L')
s | replace('l', 'L', 1)
s | replace('l', 'L', count=2)
'aaa' | replace('', '-')
'aaa' | replace('', '-', 2)
12 | replace(1, 2)
s | replace('l')
multi | indent
multi | indent(2)
multi | indent(2, true)
multi | indent(2, first=true, blank=true)
multi | indent(width='> ')
multi | indent(blank=true)
'' | indent
'' | indent(first=true)
n | indent
blank | trim | length
'xxaxx' | trim('x')
'  a ' | trim
n | trim
nothing | trim
'\n\ta\n' | trim('\n')
nested | tojson
nested | tojson(indent=2)
d | tojson
d | tojson(sort_keys=true)
d | tojson(indent=4)
d | tojson(separators=(',', ':'))
d | tojson(indent='\t')
d | tojson(indent=0)
tools | tojson
tools | tojson(indent=4)
uni | tojson
uni | tojson(ensure_ascii=true)
html | tojson
multi | tojson
'\x00\x1f\x7f\u2028"\\/' | tojson
1.0 | tojson
1e20 | tojson
1e-7 | tojson
(1, 2) | tojson
nothing | tojson
yes | tojson
[] | tojson(indent=2)
{} | tojson(indent=2)
{1: 2, none: 3, true: 4, 1.5: 5} | tojson
{(1, 2): 3} | tojson
missing | tojson
list | map('string') | tojson
d.items() | tojson
namespace(a=1) | tojson
big | tojson
messages[2].tool_calls | tojson
messages[2].tool_calls[0].function.arguments | tojson(indent=2)
list | sort
list | sort(reverse=true)
words | sort
words | sort(case_sensitive=true)
words | sort(true, true)
people[:3] | sort(attribute='age') | map(attribute='name') | list
people[:3] | sort(attribute='age,name') | map(attribute='name') | list
people[:3] | sort(attribute='age', reverse=true) | map(attribute='name') | list
people[:3] | sort(attribute='city.n') | map(attribute='name') | list
none_list | sort
[[2, 1], [1, 2], [1, 1]] | sort
d | sort
'hello' | sort
people[:3] | groupby('age') | list
people[:3] | groupby('city.n') | map(attribute='grouper') | list
people[:3] | groupby('city.n', case_sensitive=true) | map(attribute='grouper') | list
people | groupby('age', default=0) | map(attribute='list') | map('length') | list
people[:3] | groupby('age') | map('first') | list
words | unique | list
words | unique(case_sensitive=true) | list
people[:3] | unique(attribute='age') | map(attribute='name') | list
nested | unique | list
range(7) | batch(3) | list
range(7) | batch(3, 'x') | list
range(7) | slice(3) | list
range(7) | slice(3, 'x') | list
[] | batch(2) | list
range(3) | slice(0) | list
d | dictsort
d | dictsort(true)
d | dictsort(false, 'value')
d | dictsort(reverse=true)
d | dictsort(by='value', reverse=true)
d | dictsort(by='x')
list | dictsort
d | items | list
missing | items | list
list | items | list
list | first
empty_list | first
(empty_list | first) is defined
s | first
d | first
list | last
empty_list | last
s | last
d | last
d.items() | last
list | map('string') | last
list | length
s | length
uni | length
d | length
d | count
n | length
nothing | length
missing | length
s | list
uni | list
d | list
d.items() | list
missing | list
n | list
n | string
nothing | string
yes | string
half | string
list | string
(n | string) + 'x'
'42' | int
'42.9' | int
'x' | int
'x' | int(5)
'x' | int(default=-1)
'0x1f' | int(base=16)
'1f' | int(0, 16)
'0b11' | int(0, 2)
'0o17' | int(base=0)
' 12 ' | int
'1_000' | int
'-7' | int
'--7' | int
2.9 | int
-2.9 | int
nothing | int
missing | int
yes | int
'inf' | int
'' | int
list | int
'1e3' | int
'1.5' | float
'x' | float
'x' | float(2.5)
'1e3' | float
'inf' | float
'-nan' | float
n | float
nothing | float
'1_0.5' | float
2.5 | round
3.5 | round
2.567 | round(2)
2.675 | round(2)
0.125 | round(2)
2.5 | round(0, 'ceil')
2.567 | round(1, 'floor')
2.567 | round(1, method='ceil')
42 | round
42 | round(1)
42 | round(-1)
45 | round(-1)
55 | round(-1)
1234.5 | round(-2)
-2.5 | round
1e300 | round(2)
2.5 | round(1, 'up')
's' | round
s | upper
s | lower
n | upper
uni | upper
uni | lower
mixed | title
"it's a (test) of-things [x] <y>" | title
uni | title
mixed | capitalize
uni | capitalize
'' | capitalize
'ÉCOLE' | capitalize
multi | wordcount
"it's a-b c_d 日本語 é" | wordcount
s | truncate(5)
s | truncate(5, true)
s | truncate(5, true, '')
s | truncate(9, false, '..', 0)
'foo bar baz qux' | truncate(9)
'foo bar baz qux' | truncate(11)
'foo bar baz qux' | truncate(11, False, '...', 0)
'foo bar baz qux' | truncate(9, killwords=True)
s | truncate(2)
uni | truncate(7, true, '…', 0)
s | center(20)
s | center(3)
'a' | center(4)
'ab' | center(5)
'%s-%d' | format('a', 3)
'%(a)s' | format(a=1)
'%s' | format(1, a=2)
'%s %s' | format(1)
list | sum
[0.5, 1] | sum
[] | sum
[] | sum(start=3)
list | sum(start=10)
people[:3] | sum(attribute='age')
words | sum
[[1], [2]] | sum(start=[])
list | min
list | max
words | min
words | max
words | max(case_sensitive=true)
people[:3] | max(attribute='age') | string
people[:3] | min(attribute='age') | attr('nosuch') is defined
empty_list | max
none_list | max
'hello' | max
neg | abs
-2.5 | abs
yes | abs
s | abs
path | urlencode
{'a b': 'c/d', 'é': 1} | urlencode
[('x', 1), ('y', 'a&b')] | urlencode
n | urlencode
attrs | xmlattr
attrs | xmlattr(false)
{'a b': 1} | xmlattr
{} | xmlattr
html | striptags
'a <!-- c <b> --> &amp; &lt;x&gt;   y' | striptags
html | escape
html | e | string
html | escape | escape
html | forceescape
(html | e) | forceescape
html | safe
n | escape
nothing | e
(html | e) + '<'
'<' + (html | e)
(html | e) ~ '<'
(html | e) | upper
(html | e) | length
[html | e]
(html | e) is escaped
html is escaped
(html | safe).replace('b', '<')
(html | safe).split('"')
('a' | safe).join(['<', '>'])
('a' | e) == 'a'
('<' | safe) * 2
('abc' | safe)[0]
('abc' | safe)[1:]
('%s' | safe) is string
{'a': 1}[('a' | safe)]
list | reverse | list
s | reverse
uni | reverse
d | reverse | list
list | map('string') | reverse
n | reverse
d | attr('items')
d | attr('b') is defined
s | attr('upper') is defined
s | attr('_x')
1234 | filesizeformat
1 | filesizeformat
999 | filesizeformat
1500000 | filesizeformat
1500000 | filesizeformat(true)
'x' | filesizeformat
list | nosuch
yes and (list | nosuch)
'a' if yes else (list | nosuch)
list | length | string + 'x'
-1 | abs
(-1) | abs
1 + 2 | string
'a' ~ 1 | string
list | join(',') | upper
s | upper | lower | title | replace('H', 'J')
s|upper()
s | default('x') | length > 3
n | default(1) + 1
s | trim | length
s | lower(1)
list | first | string
nested | first | first
"%s" | format(list)
"%s" | format((1, 2))
"%05.1f|%-6s|%+d|%x|%X|%o|%e|%g|%r|%%" | format(3.14159, 'ab', 5, 255, 255, 8, 12345.678, 0.00001, 'q')
"""

STRINGS = r"""
messages[2].content.split('</think>')[-1].lstrip('\n')
messages[2].content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n')
'\n\n  a \n'.strip('\n')
'  a '.strip()
'xyaxy'.strip('xy')
'xyaxy'.lstrip('xy')
'xyaxy'.rstrip('xy')
'  a '.strip(none)
'\u3000a\xa0\x1c'.strip() | length
'\ufeffa'.strip() | length
'  a '.strip(1)
'a'.strip('a', 'b')
'a,b,,c'.split(',')
'a,b,,c'.split(',', 1)
'a,b,,c'.split(',', maxsplit=2)
'a,b,,c'.split(',', -1)
'a,b,,c'.split(sep=',')
' a  b c '.split()
' a  b c '.split(none, 1)
' a  b c '.split(maxsplit=1)
' a  b c '.rsplit(none, 1)
'a,b,c'.rsplit(',', 1)
'a,b,c'.rsplit(',')
'aaaa'.split('aa')
'aaa'.rsplit('aa', 1)
'abc'.split('')
'abc'.split(1)
''.split()
''.split(',')
'a\x1cb\x85c'.split()
multi.splitlines()
multi.splitlines(true)
multi.splitlines(keepends=true)
'a\r\nb\rc\x0bd\u2028e'.splitlines()
''.splitlines()
s.replace('l', 'L')
s.replace('l', 'L', 1)
s.replace('l', 'L', 0)
'ab'.replace('', '-')
'$&'.replace('$&', '$$')
s.replace('l')
s.replace('l', 1)
s.startswith('He')
s.startswith(('x', 'He'))
s.startswith('l', 2)
s.startswith('l', 2, 3)
s.startswith(['He'])
s.startswith('')
s.endswith('ld')
s.endswith(('x', 'ld'))
s.endswith('l', 0, 4)
s.find('o')
s.find('o', 5)
s.find('zz')
s.find('', 3)
s.rfind('o')
s.rfind('o', 0, 5)
s.index('W')
s.index('zz')
s.rindex('l')
uni.find('日')
uni.index('😀')
s.count('l')
s.count('l', 4)
s.count('')
'aaa'.count('aa')
', '.join(words)
''.join(list)
'-'.join('abc')
'-'.join(d)
'😀-'.join('ab')
s.upper() ~ s.lower()
mixed.title()
"they're bill's 3rd".title()
mixed.capitalize()
mixed.swapcase()
uni.swapcase()
uni.upper()
uni.title()
'ß'.title()
'ﬁsh'.capitalize()
'ΑΣ'.lower()
'ß'.casefold()
['123'.isdigit(), '12a'.isdigit(), ''.isdigit(), '²'.isdigit(), '½'.isdigit()]
['123'.isdecimal(), '²'.isdecimal(), '½'.isnumeric(), '三'.isnumeric(), '三'.isalpha()]
['abc'.isalpha(), 'ab1'.isalpha(), 'é'.isalpha(), ' '.isalpha(), 'ab1'.isalnum(), 'a b'.isalnum()]
['abc'.islower(), 'aBc'.islower(), 'ABC'.isupper(), 'A1'.isupper(), '1'.isupper(), ''.islower()]
[' \n'.isspace(), ''.isspace(), 'Abc Def'.istitle(), 'Abc def'.istitle(), 'a1'.isidentifier(), '1a'.isidentifier()]
['abc'.isascii(), 'é'.isascii(), 'a\n'.isprintable(), 'é '.isprintable()]
s.removeprefix('Hello')
s.removeprefix('x')
s.removesuffix('World')
s.removesuffix('')
'7'.zfill(3)
'-7'.zfill(4)
'+abc'.zfill(6)
'a'.ljust(3) ~ '|'
'a'.rjust(3)
'a'.ljust(3, '*')
'a'.rjust(3, '**')
'a'.center(4, '*')
'ab'.center(5, '*')
'abc'.center(6, '*')
'a'.center(2)
s.partition(', ')
s.partition('x')
s.rpartition('o')
s.rpartition('x')
'a\tb'.expandtabs()
'a\tb'.expandtabs(4)
'{} {}'.format(1, 'b')
'{1} {0}'.format(1, 'b')
'{a} {b[k]} {c[0]}'.format(a=1, b={'k': 2}, c=[3])
'{a.role}'.format(a=messages[0])
'{!r} {!s}'.format('x', 'y')
'{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd')
'{:05d} {:+d} {:,} {:_} {:x} {:#x} {:b} {:o} {:X}'.format(42, 42, 1234567, 1234567, 255, 255, 5, 8, 255)
'{:.2f} {:8.3f} {:e} {:g} {:.1%} {:,.2f}'.format(3.14159, 2.5, 12345.678, 0.0001, 0.256, 1234567.891)
'{:.3}'.format('abcdef')
'{:{}}'.format('a', 5) ~ '|'
'{{}}'.format()
'{}'.format()
'{x}'.format()
'{:d}'.format('a')
'{:s}'.format(1)
'{} {}'.format(none, missing)
'{:5}|{:5}|{:<5}|'.format(1, 'a', true)
'{0}{}'.format(1, 2)
'{'.format()
'{a}'.format_map({'a': 1})
'%s' % 'a'
'%s %s' % (1, 'b')
'%d%%' % 5
'%(a)s %(b)d' % {'a': 1, 'b': 2}
'%5.2f|%-5d|%05d|%+d|% d' % (3.14159, 42, 42, 42, 42)
'%s' % list
'%s' % none
'%s' % missing
'%r' % 'q'
'%x %X %#x %o' % (255, 255, 255, 8)
'%e %g %G' % (12345.678, 1e-10, 1e20)
'%c%c' % ('a', 98)
'%.3s|%10s|%-10s|' % ('abcdef', 'a', 'b')
'%*d' % (5, 42)
'%s %s' % 'a'
'%d' % 'a'
'%d' % 2.9
'%i' % true
'%s' % (1, 2)
'%q' % 1
'%s' % {'a': 1}
'abc' % ()
'abc' % 1
'abc' % {'a': 1}
'abc' % [1]
'%s' % ((1, 2),)
s.nosuch is defined
s.upper is defined
s.__class__
s._x is defined
s['upper'] is defined
s['upper']()
s.upper
s.encode('utf8')
s.translate({})
'a' 'b' ~ 'c'
'abc'[1]
'abc'[-1]
'abc'[5] is defined
'abc'['x'] is defined
'abc'[1.0] is defined
'abc'[true]
uni[8]
'ab' * 3
3 * 'ab'
'ab' * 0
'ab' * -1
'a' + 1
'a' - 'b'
'a' < 'b'
'a' < 1
'Z' < 'a'
'\U0001F600' > '\uffff'
'a' in 'abc'
'' in 'abc'
1 in 'abc'
'a' not in 'abc'
'a' == 'a' != 'b'
"\n" | length
'\t\\\'\"\a\b\f\v\r' | tojson
'\x41\u00e9\U0001F600\101\0' | tojson
'\d\ \q' | tojson
'\é' | tojson
'\x4'
'\u12'
'\N{DASH}'
"it's" ~ 'say "hi"'
'a
b'
'é' | length
'{{ "}}" }}'
"%}"
"""

VALUES = r"""
none
None
true
[true, false, none]
[True, False, None]
1
1_000
0x1F
0b101
0o17
0
00
012
1.0
1.5
1e3
1.5e-7
1_0.2_5
1e16
1e15
123456789012345678.0
1e22
1e-5
0.0001
0.00001
-0.0
0.1 + 0.2
1 / 3
100000000000000000000
2 ** 64
2 ** 0.5
2 ** -1
-2 ** 2
2 ** 3 ** 2
0 ** 0
(-8) ** 2
1e400
-1e400
1e400 - 1e400
7 / 2
6 / 2
7 // 2
-7 // 2
7 // -2
7.5 // 2
-7.5 // 2
7 % 3
-7 % 3
7 % -3
7.5 % 2
-7.5 % 2
1 / 0
1 // 0
1 % 0
1.5 % 0
2 * 3.0
1 + 1.0
true + true
true * 3
-true
+5
- 5
--5
not true
not not 1
9007199254740993
9007199254740993 + 1
9007199254740992 * 3
-9007199254740993
big * big
big * big // 7
(big * big) % 1000
[1, 2] + [3]
[1] * 3
(1, 2) + (3,)
(1,) * 2
[1] + (2,)
[1] - [1]
{'a': 1} + {'b': 2}
none + 1
1 ~ 2
1 ~ none ~ true ~ 1.0 ~ [1, 'a'] ~ {'a': 1}
'a' ~ missing ~ 'b'
[]
()
{}
(1)
(1,)
(1, 'a', none)
[1, 'a', [2, 'b'], {'c': (3,)}]
{'a': 1, 2: 'b', none: [1], true: 1.5, (1, 2): 'x'}
{1: 'a', 1.0: 'b', true: 'c'}
{'a': 1, 'a': 2}
{[1]: 2}
nested
messages[2].tool_calls
messages[0]
people[0]
['it\'s', "say \"hi\"", 'both \' and "', 'new\nline', 'tab\t', 'back\\slash', 'é😀', '\x00\x7f\x85\xa0', '\u200b\u2028\ue000', '']
d.items()
d.keys()
d.values()
d.items() | list
d.items() | length
d.keys() | list
d.keys()[0] is defined
'a' in d.keys()
1 in d.values()
('a', 1) in d.items()
d.a
d['a']
d.get('a')
d.get('x')
d.get('x', 5)
d.get('x', none)
{'a': none}.get('a', 5)
d.get()
d.get(key='a')
d.get([1])
d.items
keyed.items
keyed['items']
keyed.keys() | list
keyed['keys']
keyed.get('get')
keyed._private
keyed['_private']
keyed['a b']
d.copy()
d.update({'z': 1})
d.update
d.pop('a')
d.pop is defined
d.setdefault('a', 1)
d.fromkeys(['x', 'y'], 0)
d.fromkeys('ab')
list.append(4)
list.append is defined
list.pop()
list.extend([1])
list.insert(0, 1)
list.index(2)
list.index(9)
list.count(1)
list.copy()
list.sort()
list.reverse()
(1, 2, 1).count(1)
(1, 2, 1).index(2)
list.nosuch is defined
list[0]
list[-1]
list[3] is defined
list[-4] is defined
list['a'] is defined
list.0
list[true]
list[1.0] is defined
nested[0][1][0]
nested.1.k
n.real
n.nosuch is defined
nothing.x is defined
nothing.x
nothing.x.y
nothing['x'] is defined
missing
missing.x
missing['x']
missing | string
[missing]
[missing] | string
missing + 1
1 + missing
'a' + missing
missing == missing
missing == none
missing != 1
missing < 1
missing in [1]
1 in missing
'a' in missing
missing in 'a'
not missing
missing and 1
missing or 1
missing is none
-missing
missing * 2
missing ~ 'x'
missing[1:]
missing()
{missing: 1}
{'a': missing}
d[missing] is defined
d.x
d.x.y
d['x']['y']
d.x is defined
d['x'] is none
messages[0].tool_calls is defined
messages[0].tool_calls
messages[9].role
messages[9]
list[1:]
list[:2]
list[::-1]
list[::2]
list[-2:]
list[:-1]
list[1:2:1]
list[5:]
list[-9:9]
list[2:0:-1]
list[::0]
list['a':]
list[:none]
list[1:][0]
s[1:4]
s[::-1]
s[-5:]
s[:5]
s[5:1:-2]
uni[8:9]
uni[::-1]
uni[-3:]
(1, 2, 3)[1:]
range(10)[2:8:2]
range(10)[::-1] | list
d[1:]
n[1:]
messages[1:] | map(attribute='role') | list
messages[::-1][0].role
messages[-1]['role']
1 < 2 < 3
1 < 3 < 2
3 > 2 >= 2 != 1
1 == 1.0 == true
1 == '1'
none == none
[1, 2] == [1, 2.0]
(1, 2) == [1, 2]
{'a': 1, 'b': 2} == {'b': 2, 'a': 1}
[1, 2] < [1, 3]
[1] < [1, 0]
(1, 'a') < (1, 'b')
[1] < (2,)
none < 1
{} < {}
1 <= 1.5
true > 0
'a' <= 'b' <= 'c'
1 != 2
not 1 == 2
1 in [1, 2]
1.0 in [1, 2]
none in [none]
'a' in ['a']
'b' in d
2 in d
[1] in [[1]]
1 in (1, 2)
1 in range(3)
5 in range(3)
'1' in range(3)
1 in 5
1 in none
[1] in d
1 not in [2]
not 1 in [2]
yes and no or yes
no or 0 or '' or 'x'
1 and 2 and 3
1 and 0 and 3
[] or {}
nothing and missing.x
yes or missing.x
not yes or yes
1 if yes else 2 + 3
(1 if no else 2) + 3
1 + 2 * 3 - 4 / 2
(1 + 2) * 3
2 * 3 % 4
1 - -1
10 - 3 - 2
1 + 1 ~ 2
1 ~ 2 + 3
1 ~ 2 * 3
1,2
1, 
n is defined
missing is defined
missing is undefined
missing is not defined
nothing is none
nothing is not none
n is none
s is string
n is string
missing is string
d is mapping
list is mapping
list is sequence
s is sequence
d is sequence
n is sequence
missing is sequence
range(3) is sequence
d.items() is sequence
(1,) is sequence
list is iterable
s is iterable
n is iterable
missing is iterable
d.items() is iterable
(list | map('string')) is iterable
n is number
half is number
yes is number
s is number
n is integer
yes is integer
half is integer
half is float
n is float
1.0 is float
yes is boolean
n is boolean
yes is true
1 is true
no is false
0 is false
n is odd
n is even
half is odd
yes is odd
s is odd
n is divisibleby 7
n is divisibleby(3)
n is divisibleby 0
n is eq 7
n is equalto 7
n is == 7
n is ne 7
n is lt 8
n is le 7
n is gt 7
n is ge 7
n is lessthan 8
n is greaterthan 8
n is lt 'a'
n is in [7]
n is not in [7]
n is in list
'a' is in 'abc'
n is in 5
nothing is sameas none
n is sameas 7
yes is sameas true
1 is sameas true
s is lower
'abc' is lower
'ABC' is upper
n is upper
n is callable
s.upper is callable
'upper' is filter
'nosuch' is filter
'odd' is test
'nosuch' is test
n is nosuch
n is defined and n > 5
n is not none and s
n is number is true
not n is none
n is none or s is string
n is defined == true
n is eq(7) and 1
list is eq [3, 1, 2]
d is defined | string
5 is odd | string
n is divisibleby 7 == 1
half is eq 2.5
list | length is odd
a.b.c
n.x.y is defined
'x' is eq 'x'
none is none
n..x
n.
n[
n]
n |
n is
| n
n n
'a' 1
[1, 2
[1,, 2]
{'a'}
{'a': }
{a: 1}
{s: 1}
(1, 2
1 +
* 2
@
$x
a ? b : c
a && b
!a
n++
'open
a.1b
é
été is defined
_x is defined
loop
self
true.x is defined
1.real
1 .real
[1][0]
[[1, 2], [3]][0][1]
{'a': {'b': [10]}}.a.b[0]
'abc'.upper()[0].lower()
(1, 2)[0]
d.a + d['b'] * d.get('C')
"""

# Features together.
TOGETHER = r"""
{% for i in list %}{% macro m() %}{{ loop.index }}{% endmacro %}{{ m() }}{% endfor %}
{% macro m() %}{{ loop is defined }}{% endmacro %}{% for i in list %}{{ m() }}{% endfor %}
{% macro m(x) %}{% for i in x %}{% if i == 1 %}{% break %}{% endif %}{{ i }}{% endfor %}!{% endmacro %}{{ m(list) }}{{ m([2]) }}
{% macro m() %}{% for i in list %}{{ caller(i) }}{% if loop.index == 2 %}{% break %}{% endif %}{% endfor %}{% endmacro %}{% call(x) m() %}{{ x }};{% endcall %}
{% for i in list %}{% for j in list %}{% if j == 1 %}{% continue %}{% endif %}{% if i == 1 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{% endfor %}
{% for i in list %}{% if i == 3 %}{% continue %}{% else %}{{ i }}{% endif %}{% endfor %}
{% for i in list %}{% if no %}{% elif i == 1 %}{% break %}{% else %}{{ i }}{% endif %}{% endfor %}
{% for i in list if i != 3 %}{{ i }}{% break %}{% else %}E{% endfor %}
{% for i in list %}{% set y %}{{ i }}{% for j in list %}{{ j }}{% break %}{% endfor %}{% endset %}{{ y }}|{% endfor %}
{% for i in list %}{% set x = i %}{% if x == 1 %}{% set x = 9 %}{% endif %}{{ x }}{% endfor %}
{% set x = 0 %}{% for i in list %}{% if i == 1 %}{% set x = 9 %}{% endif %}{{ x }}{% endfor %}{{ x }}
{% if yes %}{% for i in list %}{% set z = i %}{% endfor %}{% endif %}{{ z is defined }}
{% for i in list %}{% if yes %}{% set z = i %}{% endif %}{% endfor %}{{ z is defined }}
{% set ns = namespace(a=namespace(b=1)) %}{{ ns.a.b }}
{% set ns = namespace(items=[]) %}{% for i in list %}{% set ns.items = ns.items + [i * 2] %}{% endfor %}{{ ns.items }}
{% set ns = namespace(x) %}{{ ns }}
{% set ns = namespace(n=0) %}{% macro inc() %}{% set ns.n = ns.n + 1 %}{% endmacro %}{{ inc() }}{{ inc() }}{{ ns.n }}
{% set ns = namespace(x=none) %}{{ ns.x is none }}{{ ns.x }}
{% set x = none %}{{ x }}{{ x is defined }}{% if x is none %}n{% endif %}
{% set n = none %}{% for i in list %}{{ n }}{% endfor %}
{% set messages = messages[1:] %}{% for m in messages %}{{ m.role }} {% endfor %}
{% for m in messages %}{% set messages = [] %}{{ m.role }} {% endfor %}{{ messages | length }}
{% for message in messages %}{% for m in messages %}{% if loop.last and message == m %}{{ message.role }}{% endif %}{% endfor %}{% endfor %}
{% set f = s.upper %}{{ f() }}
{% set g = d.get %}{{ g('a') }}{{ g('q', 1) }}
{% set r = range %}{{ r(2) | list }}
{% set a = [1, 2] %}{% set b = a + [3] %}{{ a }}{{ b }}
{% set a = {'x': 1} %}{% set b = dict(a, y=2) %}{{ a }}{{ b }}{{ dict(a, **{'z': 1}) }}
{% set t = ('a', 'b') %}{{ t[0] }}{{ t | length }}{{ t + ('c',) }}{{ t | join }}
{% set items = messages | map(attribute='role') | list %}{{ items }}{{ items.index('user') }}{{ items.count('user') }}
{% set g = list | map('string') %}{{ g | join }}{{ g | join }}
{% set g = list | select('odd') %}{% for i in g %}{{ i }}{% break %}{% endfor %}{{ g | list }}
{% for k, v in people[0].items() %}{{ k }}={{ v }}{{ ', ' if not loop.last }}{% endfor %}
{% for k, v in d | dictsort(reverse=true) %}{{ k }}{{ v }}{% endfor %}
{% for g in people[:3] | groupby('age') %}{{ g.grouper }}:{{ g.list | map(attribute='name') | join(',') }};{% endfor %}
{% for a, g in people[:3] | groupby('age') %}{{ a }}:{{ g | length }};{% endfor %}
{% for row in range(5) | batch(2, 0) %}{{ row }}{{ loop.last }}{% endfor %}
{% for c in range(5) | slice(2) %}{{ c }}{% endfor %}
{% for a in 'ab' %}{% for b in 'cd' %}{{ loop.index0 * 10 + loop.length }}{{ a }}{{ b }} {% endfor %}{{ loop.last }}{% endfor %}
{% for i in range(0) %}{% endfor %}{{ i is defined }}
{% for i in range(1, 4) %}{{ i }}{{ '+' if not loop.last else '=' }}{% endfor %}{{ range(1, 4) | sum }}
{% for i in range(3) recursive %}{{ i }}{% if loop.depth < 3 %}({{ loop(range(i)) }}){% endif %}{% endfor %}
{% for x in [1, [2, [3]], 4] recursive %}{% if x is iterable %}<{{ loop(x) }}>{% else %}{{ x }}{% endif %}{% endfor %}
{% if messages[-1].role == 'user' and messages | length > 2 and not no %}a{% endif %}
{% if 'sys' in messages[0].role or missing %}a{% endif %}
{% if messages[0]['content'] is string and messages[0].content.startswith('Be') %}a{% endif %}
{% if d.a is defined and d.a is not none and d.a > 0 %}a{% endif %}
{% if missing is defined and missing.x %}a{% else %}b{% endif %}
{% if missing %}a{% elif missing is undefined %}b{% endif %}
{% if list %}a{% endif %}{% if empty_list %}b{% endif %}{% if empty_dict %}c{% endif %}{% if half %}d{% endif %}{% if 0.0 %}e{% endif %}{% if ' ' %}f{% endif %}{% if range(0) %}g{% endif %}{% if () %}h{% endif %}{% if d.items() %}i{% endif %}{% if namespace() %}j{% endif %}
{{ messages | tojson }}
{{ {'a': 1.0, 'b': 1e100, 'c': -0.0, 'd': [none, true]} | tojson(indent=2) }}
{{ {'b': 1, 'a': {'d': 1, 'c': 2}} | tojson(sort_keys=true, indent=1, separators=(',', '=')) }}
{{ tools | tojson(true) }}
{{ uni | tojson(true, 2) }}
{{ d | tojson(none) }}
{{ d | tojson(false, none, (';', '>')) }}
{{ [] | tojson }}{{ {} | tojson }}{{ [[]] | tojson }}{{ [{}] | tojson(indent=2) }}
{{ (tools | tojson)[:20] }}
{{ tools | tojson | length }}
{{ tools[0] | string }}
{{ 'x' ~ tools }}
{{ '%s' | format(tools[0].function.parameters) }}
{{ "a" "b" 'c' }}
{{ 'a' if 'a' == "a" else 'b' | upper }}
{{ 'a' ~ 'b' | upper }}
{{ ('a' ~ 'b') | upper }}
{{ -n | abs }}
{{ 1 - 2 | abs }}
{{ 2 ** 3 | string + 'x' }}
{{ n is odd and n is number or missing.x }}
{{ not n is odd }}
{{ n in [7] and 'y' or 'z' }}
{{ n == 7 == true }}
{{ [n, s] | map('string') | map('length') | list }}
{{ words | map('first') | join }}
{{ words | map('length') | sum }}
{{ words | select('startswith', 'a') | list }}
{{ words | map('lower') | unique | sort | join(' ') }}
{{ words | sort(reverse=true) | first }}
{{ people | map(attribute='age') | list }}
{{ people | map(attribute='age') | select('defined') | sum }}
{{ people | sum(attribute='age') }}
{{ people | sort(attribute='age') }}
{{ people | rejectattr('age', 'undefined') | map(attribute='age') | max }}
{{ people | selectattr('city.n', 'equalto', 'Oslo') | map(attribute='name') | list }}
{{ people | selectattr('age', 'gt', 30) | list | length }}
{{ people[:3] | selectattr('age', 'gt', 30) | list | length }}
{{ messages | selectattr('tool_calls', 'defined') | list | length }}
{{ messages | selectattr('tool_calls') | list | length }}
{{ messages | map(attribute='content') | map('length') | list }}
{{ messages | length > 3 }}
{{ messages | last | items | list }}
{{ messages[1:3] | map(attribute='role') | join(' ') }}
{{ messages | first == messages[0] }}
{{ (messages | last).content.split(' ')[0] }}
{{ messages[2].content.split('</think>') | length }}
{{ messages[2].content.split('</think>', 1)[1].strip().splitlines()[0] }}
{{ messages[2].content | replace('\n', ' ') | trim }}
{{ messages[2].content.replace('<think>', '').replace('</think>', '').strip() | indent(2) }}
{{ messages[2].tool_calls[0].function.arguments.items() | list }}
{{ messages[2].tool_calls[0]['function']['arguments']['list'][2] | upper }}
{{ messages[0].content[0] ~ messages[0].content[-1] ~ messages[0].content[1:4] }}
{{ messages[0].get('name', 'nobody') }}{{ messages[0].get('role') }}
{{ messages[0].keys() | list | sort }}{{ 'role' in messages[0] }}{{ 'x' in messages[0].keys() }}
{{ messages[0] is mapping }}{{ messages is sequence }}{{ messages is mapping }}{{ messages[0].content is iterable and messages[0].content is not mapping }}
{{ bos_token + 'x' + eos_token }}{{ unk_token is defined }}
{{ add_generation_prompt }}{{ documents }}{{ documents is none }}
{{ n / 2 }}{{ n // 2 }}{{ n % 2 }}{{ n * 2 }}{{ n ** 2 }}{{ n - 10 }}
{{ (n / 7) | int }}{{ n / 7 }}{{ (n / 2) | round | int }}
{{ 10 ** 15 }} {{ 10 ** 16 }} {{ 10.0 ** 15 }} {{ 10.0 ** 16 }} {{ 1.5e300 * 1e10 }} {{ 123456.789e3 }}
{{ 0.1 }} {{ 1e-4 }} {{ 1.0e-5 }} {{ 5e-324 }} {{ 1.7976931348623157e308 }} {{ 100.0 }} {{ 3.0e0 }}
{{ 0.1 + 0.7 }} {{ 2 / 3 }} {{ 1e21 + 1 }} {{ 4.35 * 100 }}
{{ 1_000_000 + 0xFF + 0o7 + 0b11 }}
{{ "%.3f" % 2.0005 }} {{ "%.0f" % 0.5 }} {{ "%.0f" % 1.5 }} {{ "%.2e" % 0 }} {{ "%g" % 100000 }} {{ "%g" % 1000000 }} {{ "%#g" % 1 }}
{{ "{:.0f} {:.1f} {:g} {:g} {:e} {:.3g} {:n}".format(2.5, 0.25, 1e6, 1e-5, 0, 1234.5, 1) }}
{{ "{:>{w}}".format('a', w=4) }}{{ "{:^+8.1f}|{:<8}|{:=+6d}".format(2.25, 1.5, 42) }}
{{ "{:,} {:,.1f} {:_x} {:#b} {:c} {:%}".format(-1234567, 9876.54, 1048575, 5, 65, 0.5) }}
{{ "{0.a} {0[b]}".format({'a': 1, 'b': 2}) }}
{{ "{x!r:>6}".format(x='a') }}
{{ "{} {}".format(1.0, [1, 'a']) }}
{{ "a{}b".format }}
{{ '%s %s' % ('a', none) }}{{ '%s' % true }}{{ '%s' % 1.0 }}{{ '%d' % 3.0 }}{{ '%5s|' % 'é' }}{{ '%-5s|' % '😀' }}
{{ '%(x)s' % {'y': 1} }}
{{ '%s' % d }}
{{ '%s and %s' % ['a', 'b'] }}
{{ ','.join(d.keys()) }}{{ ','.join(words | sort) }}{{ ','.join([]) }}
{{ ','.join(list | map('string')) }}
{{ 'a,b'.split(',') | join('|') }}{{ 'a b'.split()[1] }}{{ 'abc' | list | join('-') }}
{{ ' a '.strip() + '|' + ' a '.lstrip() + '|' + ' a '.rstrip() + '|' }}
{{ 'Hello'.lower().startswith('he') and 'x'.isalpha() }}
{{ 'a-b_c d'.replace('-', ' ').replace('_', ' ').title().split() }}
{{ 'abcabc'.find('c', 3) }}{{ 'abcabc'.rfind('c', 0, -1) }}{{ 'abc'.find('c', -1) }}{{ 'abc'.find('', 9) }}{{ 'abc'.count('', 1, 2) }}
{{ 'abc'.startswith('', 3) }}{{ 'abc'.startswith('', 4) }}{{ 'abc'.endswith('', 4) }}{{ 'abc'.endswith('c', -1) }}{{ 'abc'.startswith(()) }}
{{ 'abc'.startswith(none) }}
{{ 'abc'.find(1) }}
{{ 'abc'.replace(none, 'x') }}
{{ 'abc'.upper(1) }}
{{ 'abc'.center() }}
{{ 'abc'.zfill('5') }}
{{ 'abc'.split(none, none) }}
{{ 'abc' * none }}
{{ 'abc' * 2.0 }}
{{ [1] * 2.0 }}
{{ [3, 1] | sort | first + 1 }}
{{ list | sort | list == [1, 2, 3] }}
{{ list | reverse | first }}{{ (list | reverse | list)[0] }}
{{ list | length * 2 }}
{{ (list | length) * 2 }}
{{ list[list | length - 1] }}
{{ list[-1:][0] }}{{ list[1:][::-1] }}{{ list[:-1] | last }}{{ list[n:] }}{{ list[::n] }}{{ list[neg:] }}
{{ list[0:2] + [9] }}{{ list[1] }}{{ list.1 }}{{ list[zero] }}
{{ [1, 2, 3] | batch(2) | list }}{{ [1, 2, 3] | batch(0) | list }}
{{ [0, 1, '', 'a', none, [], [1]] | select | list }}
{{ [1, '1', 1.0, true] | unique | list }}
{{ [1, 2.5, 3] | sum }}{{ [1, 2.5] | max }}{{ ['b', 'A'] | min }}
{{ [3, 'a'] | max }}
{{ {'a': {'b': [1, {'c': 'x'}]}}.a.b[1].c }}
{{ {'a': 1}.items() | first }}{{ {'a': 1} | items | first | last }}
{{ {'a': 1} | length }}{{ {'a': 1, 'b': none}.values() | list }}{{ {'x': 1}.x }}
{{ {'a': 1} == {'a': 1.0} }}{{ {'a': 1} in [{'a': 1}] }}{{ {'a': 1} is eq {'a': 1} }}
{{ {'a': 1}.get('b') is none }}{{ {'a': 1}['b'] is defined }}{{ {'a': none}.a is none }}{{ {'a': none}.get('a') }}
{{ dict(a=1).a }}{{ dict(a=1) | tojson }}{{ dict([['a', 1], ('b', 2)]).b }}{{ dict(d.items()) }}
{{ 'true' if true else 'false' }}{{ True }}{{ true | string | lower }}{{ true | tojson }}{{ none | tojson }}
{{ missing | default([]) | length }}{{ missing | default({}) }}{{ missing | default(none) }}{{ missing | default(0) + 1 }}
{{ (missing | default('x')).upper() }}{{ d.q | default(d.a) }}{{ none | default('x', boolean=True) }}
{{ missing.x | default('x') is defined }}
{{ [missing | default('x')] }}{{ {'a': missing | default(1)} }}
{{ missing | join }}{{ missing | upper }}{{ missing | trim }}{{ missing | list }}{{ missing | first }}{{ missing | string | length }}
{{ missing | tojson }}
{{ missing | int }}
{{ missing | replace('a', 'b') }}{{ missing | title }}{{ missing | indent }}
{{ missing | sort }}{{ missing | unique | list }}{{ missing | map('upper') | list }}{{ missing | select | list }}{{ missing | sum }}{{ missing | max }}{{ missing | reverse | list }}
{{ missing | dictsort }}
{{ missing | abs }}
{{ missing | round }}
{{ missing | float }}
{{ missing | length }}{{ missing | wordcount }}{{ missing | truncate }}{{ missing | center(3) }}{{ missing | escape }}{{ missing | urlencode }}
{{ none | length }}
{{ none | upper }}{{ none | trim }}{{ none | string }}{{ none | int }}{{ none | float }}{{ none | title }}
{{ none | join }}
{{ none | list }}
{{ none | first }}
{{ none | replace('N', 'n') }}{{ 1 | replace('1', '2') }}{{ true | upper }}{{ 1.0 | string }}
{{ none | sort }}
{{ none | map('upper') | list }}{{ none | select | list }}
{{ none + 'a' }}
{{ none ~ 'a' }}{{ [] ~ '' }}{{ 1.50 ~ '' }}{{ 1e3 ~ '' }}{{ (1, 2) ~ '' }}
{{ 'a' + none }}
{{ 'a' + 1 | string }}
{{ [1] + none }}
{{ s['upper']() }}{{ d['get']('a') }}{{ list['index'](1) }}
{{ s.__len__() }}
{{ s.__class__.__name__ }}
{{ d.__getitem__('a') }}
{{ ''.__class__ is defined }}
{{ s.format() }}
{{ (s | upper).lower() }}
{{ "\u00e9\n" }}{{ '\x41' }}{{ "tab\there" }}{{ 'q\'q' }}{{ "q\"q" }}{{ '\\n' }}{{ '\\\n' }}
{{ 'it''s' }}
{{ '\{{' }}{{ '{%' }}{{ '#}' }}
{{ "a" ~ '\u4e2d' ~ "\U0001f600" }}{{ '\ud83d\ude00' | length }}
{{ '中文字'[1] }}{{ '中文字'[::-1] }}{{ '😀a😀'[1:] }}{{ '😀a😀' | length }}{{ '😀a😀'.find('a') }}{{ '😀' in '😀a' }}{{ '😀a'.center(6, '*') }}
{{ '😀a😀'.rfind('😀') }}{{ '😀a😀'.index('😀', 1) }}{{ '😀a'.ljust(4, '-') }}{{ '😀ab' | truncate(2, true, '', 0) }}{{ '😀😀'.replace('', '|') }}{{ 'a😀'.strip('😀') }}{{ '😀' | list }}
{% filter indent(2, true) %}{% for i in list %}{{ i }} {% endfor %}{% endfilter %}
{% set x %}{% filter upper %}a{% endfilter %}b{% endset %}{{ x }}
{% call cycler('a').next() %}{% endcall %}
{% with x = 1 %}{% with y = x + 1 %}{{ x }}{{ y }}{% endwith %}{% endwith %}
{% for i in list -%} {{ i }} {%- endfor %}
{% for i in list %}{# c #}{{ i }}{# d #}{% endfor %}
{% set a = 1 -%}   b
{% raw %}{% raw %}{% endraw %}
{{ '{{' }}{{ '}}' }}{% raw %}{{ x }}{% endraw %}
{% if 1 %}{{ 1 }}{% endif %}{% if 1.5 > 1 %}{{ 2 }}{% endif %}
{%- if yes %} a {% endif -%} b
{% macro a(x) %}<{{ x }}>{% endmacro %}{{ a(a(a(1))) }}{{ a(x=a(2)) }}{{ [1, 2] | map('string') | map('upper') | join }}
{% macro a(x, y=[], *z) %}{% endmacro %}
{% macro a(x)
{% macro %}{% endmacro %}
{% macro a %}{% endmacro %}
{% macro a() %}x{% endmacro a %}
{% set %}
{% set x = %}
{% set x 1 %}
{% for %}{% endfor %}
{% for x in %}{% endfor %}
{% if a b %}{% endif %}
{% else %}
{% elif %}
{% endif %}
{% if yes %}{% else %}{% else %}{% endif %}
{% for x in list %}{% endif %}{% endfor %}
{% set x = 1 %}}{{ x }}
{{ x = 1 }}
{{ f(a b) }}
{{ f(a=) }}
{{ [1 2] }}
{{ {1 2} }}
{{ 1 if }}
{{ 1 if yes else }}
{{ a.}}
{{ is defined }}
{{ n is not }}
{{ n is }}
{{ s | }}
{{ (1, }}
{{ "a }}
{{ 1..2 }}
{{ 1.2.3 }}
{{ 1e }}
{{ 0x }}
{{ 08 }}
{{ 1__0 }}
{{ not }}
{{ and }}
{{ lambda x: x }}
{{ [x for x in list] }}
{{ x := 1 }}
{{ list[0, 1] }}
{{ list[0:1, 1] }}
{{ n if n else }}
{{ *list }}
{{ **d }}
{{ n; }}
{{ `n` }}
"""

# Templates of more than one line, and those that families' templates are made of.
WHOLE = [
    "{%- for m in messages %}\n    {%- if m.role == 'user' %}\n        {{- '<u>' + m.content + '</u>' }}\n    {%- elif m.role == 'assistant' %}\n{{- m.content.split('</think>')[-1].strip('\\n') }}\n    {%- endif %}\n{%- endfor %}\n",
    "{% for m in messages %}{% if m.role == 'system' %}<sys>{{ m.content }}</sys>\n{% break %}{% endif %}{% endfor %}{% for m in messages %}{% if m.role == 'user' %}<u>{{ m.content }}</u>\n{% endif %}{% endfor %}",
    "{% if yes %}\n\n\nx\n{% endif %}\n\n",
    "a\n   {% if yes %}   \n   b\n   {% endif %}\n   c\n",
    "a\n\t{# c #}\n\tb {# d #} \n",
    "a\r\nb\r{% if yes %}\r\nc{% endif %}\r\n",
    "x\n{{ n }}\n\n",
    "x\n{{ n -}}\n\n y",
    "\n{% set x = 1 %}\n{{ x }}\n",
    "{%- set x = 1 -%}\n\n  {{ x }}",
    "  {% if yes %}a{% endif %}  {% if yes %}b{% endif %}\n",
    "x {% raw %}\n  {{ a }}\n{% endraw %}\n y",
    "  {% raw %}a{% endraw %}\nb",
    "{{ 'a\nb' }}\n",
    "{{ 'a\r\nb' | length }}",
    "{% macro m() %}\n  x\n{% endmacro %}\n[{{ m() }}]\n",
    "{%- macro to_json(x) -%}{{ x | tojson }}{%- endmacro -%}{% for t in tools %}{{ to_json(t.function) }}\n{% endfor %}",
    "{% set ns = namespace(found=false, n=0) %}{% for m in messages %}{% if m.role == 'user' and not ns.found %}{% set ns.found = true %}{% set ns.n = loop.index0 %}{% endif %}{% endfor %}{{ ns.found }} {{ ns.n }}",
    "{% for m in messages %}{% if m.tool_calls is defined and m.tool_calls %}{% for c in m.tool_calls %}{{ c.function.name }}({% for k, v in c.function.arguments.items() %}{{ k }}={{ v if v is string else v | tojson }}{% if not loop.last %}, {% endif %}{% endfor %}){% endfor %}{% endif %}{% endfor %}",
    "{% for m in messages %}{% set content = m.content if m.content is string else '' %}{{ loop.index0 }}:{{ content | length }} {% endfor %}",
    "{%- if messages[0]['role'] == 'system' -%}{%- set loop_messages = messages[1:] -%}{%- else -%}{%- set loop_messages = messages -%}{%- endif -%}{{ loop_messages | length }}",
    "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join('|') }}",
    "{% set last_user = (messages | selectattr('role', 'equalto', 'user') | list | last) %}{{ last_user.content }}",
    "{% set roles = [] %}{% for m in messages %}{% set roles = roles + [m.role] %}{% endfor %}{{ roles }}",
    "{% set ns = namespace(r=[]) %}{% for m in messages %}{% set ns.r = ns.r + [m.role] %}{% endfor %}{{ ns.r }}",
    "{% for m in messages | reverse %}{{ m.role }} {% endfor %}",
    "{% for m in messages[::-1] %}{% set i = (messages | length - 1) - loop.index0 %}{{ i }}{{ m.role }} {% endfor %}",
    "{{ '%s' % (messages[0].content,) }}{{ messages | length - 1 }}",
    "{% if tools is iterable and tools | length > 0 %}{{ tools[0].function.name }}{% endif %}",
    "{% set x = messages[0].content ~ '\\n' %}{{ x | tojson }}",
    "{%- for m in messages %}{%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{- raise_exception('Roles must alternate') }}{%- endif %}{%- endfor %}",
    "{% for i in range(3) %}\n  {{ i }}\n{% else %}\n  none\n{% endfor %}\n",
    "{% for i in range(2) -%}\n  {{ i }}\n{%- endfor %}\n!",
    "line\n  {%- if yes %}\n  a\n  {%- endif %}\nend",
    "line\n  {% if yes -%}\n  a\n  {% endif -%}\nend",
    "{{ 'x' }}\n{%- if yes +%}\n a\n{%- endif +%}\n b",
    "{% set a %}\n  block\n{% endset %}\n[{{ a }}]",
    "{# a #}{# b #}\n\n{#- c #}x",
    "{%if yes%}a{%endif%}{{n}}{%-if yes-%}b{%-endif-%}",
    "{% if yes\n   and n == 7\n%}a{% endif %}",
    "{{ {\n'a': 1,\n} }}",
    "{{ [1, 2,\n 3,] }}",
    "\ufeff{{ n }}",
    "{{ n }}\u2028{% if yes %}\n{% endif %}\x0c\n",
    "",
    "\n",
    "plain } text { with % and # and {",
]


def cases():
    """Every template, with the group that it belongs to."""
    for group, text in (("loops", LOOPS), ("scopes", SCOPES), ("macros", MACROS), ("together", TOGETHER)):
        for line in text.strip("\n").split("\n"):
            yield group, line
    for group, text in (("filters", FILTERS), ("strings", STRINGS), ("values", VALUES)):
        for line in text.strip("\n").split("\n"):
            yield group, "{{ " + line + " }}"
    for text in WHOLE:
        yield "whole", text
