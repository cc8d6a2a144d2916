from jinja2 import DictLoader

from planewise.report import html


def test_a_template_is_compiled_once_and_takes_the_filters_of_each_page(tmp_path, monkeypatch):
    environment, compiled = html._environment(), []
    compiles = environment.compile
    monkeypatch.setattr(environment, "loader", DictLoader({"page.html": "{{ word | written }}"}))
    monkeypatch.setattr(environment, "compile", lambda *parts: compiled.append(parts) or compiles(*parts))
    for written, expected in ((str.upper, "A &lt; B"), (str.swapcase, "a &lt; B")):
        html.write_html(tmp_path / "page.html", "page.html", {"written": written}, word="A < b")
        assert (tmp_path / "page.html").read_text() == expected
    assert len(compiled) == 1
