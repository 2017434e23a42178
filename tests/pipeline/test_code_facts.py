"""Which code a document names: the last commit to it, or the source itself."""

import hashlib
import re
import subprocess

from pipeline.exports import code


def test_code_facts_name_a_commit_or_the_source(monkeypatch):
    found = code.code_facts()
    assert re.fullmatch(r"[0-9a-f]{40}|source-[0-9a-f]{16}", found.revision)
    assert found.lock == hashlib.sha256((code.ROOT / "requirements.lock").read_bytes()).hexdigest()
    monkeypatch.setattr(code, "_git", lambda *words: None)
    assert code._commit() is None


def test_the_revision_moves_with_the_code_alone(tmp_path, monkeypatch):
    """A commit to a page or a test is the same code, so a document keeps its content hash."""
    monkeypatch.setattr(code, "ROOT", tmp_path)
    assert code._commit() is None, "no git checkout"
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]

    def commit(name: str, text: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        for words in (["add", "-A"], [*author, "commit", "-qm", name]):
            subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
        return code._git("rev-parse", "HEAD")

    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    first = commit("ml/x.py", "one = 1\n")
    assert code._commit() == first
    assert commit("docs/page.md", "words\n") != first
    assert code._commit() == first
    (tmp_path / "ml" / "x.py").write_text("one = 2\n")
    assert code._commit() is None, "changed since"
    assert commit("ml/x.py", "one = 2\n") == code._commit()


def test_git_that_does_not_answer_is_no_error(monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    assert code._git("status") is None
