"""The log names what happened, and never shows what a traceback's variables hold."""

import io
import json
import logging
import sys

import pytest
import structlog

from gateway.cli import logs


def fail():
    token = "s3cret-" + "token"
    raise KeyError(len(token))


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_shows_no_variables(capsys, log_format):
    logs.configure(log_format, "info")
    try:
        fail()
    except KeyError:
        structlog.get_logger().exception("task.failed", task_id="tsk_1")
    written = capsys.readouterr().err
    assert "task.failed" in written
    assert "KeyError" in written
    assert "s3cret-token" not in written


def test_a_line_is_one_json_document_with_names_and_fields(capsys):
    logs.configure("json", "info")
    structlog.get_logger().info("signup.pushed", account_id="acme", attempt=2)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["account_id"], line["attempt"], line["level"]) == ("signup.pushed", "acme", 2, "info")
    assert line["timestamp"].endswith("Z")


def test_what_is_below_the_level_is_not_written(capsys):
    logs.configure("json", "warning")
    structlog.get_logger().info("signup.pushed")
    assert capsys.readouterr().err == ""


class BrokenPipe(io.StringIO):
    def write(self, text):
        raise BrokenPipeError


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [closed(), BrokenPipe()], ids=["closed", "broken pipe"])
def test_a_line_that_cannot_be_written_fails_nobody(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    logs.configure("json", "info")
    structlog.get_logger().error("signup.pushed")
    logging.getLogger("a.library").error("started")


def test_the_log_follows_standard_error(monkeypatch):
    logs.configure("json", "info")
    bound = structlog.get_logger().bind(account_id="acme")
    later = io.StringIO()
    monkeypatch.setattr(sys, "stderr", later)
    bound.info("signup.pushed")
    logging.getLogger("a.library").error("stopped")
    assert "signup.pushed" in later.getvalue()
    assert "stopped" in later.getvalue()
