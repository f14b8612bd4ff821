"""GScore through both real client libraries, against a loopback server that speaks the Gemini REST protocol."""

import base64
import io
import json
import logging
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tiny import picture

from gooddrag.evaluation import gscore
from gooddrag.evaluation.gscore import CLIENTS, PROMPTS, GeminiRater
from gooddrag.marks import marked
from gooddrag.sample import Sample

KEY = "AIza-loopback-0123456789-secret"
SAMPLES = [Sample(picture((48, 48), seed=i), [[[10, 10], [40, 40]]], name=f"page {i}") for i in range(2)]
RESULTS = {
    method: {s.name: picture((48, 48), seed=10 * k + i) for i, s in enumerate(SAMPLES)}
    for k, method in enumerate(("GoodDrag", "DragDiffusion", "SDE-Drag"), start=1)
}
ONE = {"GoodDrag": RESULTS["GoodDrag"]}


def answer(text, finish="STOP"):
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": finish, "index": 0}
    return {"candidates": [candidate], "modelVersion": "gemini-test-001"}


def rated(score=7):
    return 200, answer(json.dumps({"score": score}))


def error(status, message="no such thing"):
    return status, {"error": {"code": status, "message": message, "status": "NOT_FOUND"}}


class Handler(BaseHTTPRequestHandler):
    """Answers from the server's script, a list of (status, body), then with the last one again."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(SimpleNamespace(path=self.path, headers=dict(self.headers), body=json.loads(body)))
        script = self.server.script
        status, reply = script.pop(0) if len(script) > 1 else script[0]
        content = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.script, server.requests = [rated()], []
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def key(monkeypatch):
    for name in ("GOOGLE_API_KEY", "HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between a client's own attempts


@pytest.fixture(params=CLIENTS)
def rater(request, server):
    return GeminiRater("gemini-test", request.param, f"http://127.0.0.1:{server.server_port}")


def sent(request):
    parts = request.body["contents"][0]["parts"]
    inline = [(part.get("inlineData") or part.get("inline_data"))["data"] for part in parts[1:]]
    raw = [base64.urlsafe_b64decode(data.replace("+", "-").replace("/", "_")) for data in inline]
    return parts[0]["text"], [Image.open(io.BytesIO(content)).convert("RGB") for content in raw]


def near(a, b):
    return a.size == b.size and np.abs(np.asarray(a, int) - np.asarray(b, int)).mean() < 5  # WebP or PNG of it


def test_a_request_holds_the_prompt_the_original_and_the_edited_image(rater, server, tmp_path):
    large = Sample(picture((3000, 1000)), [[[10, 10], [40, 40]]], name="page 0")
    (record,) = gscore.rate(rater, [large], ONE, tmp_path)
    (request,) = server.requests
    assert request.path.split("?")[0] == "/v1beta/models/gemini-test:generateContent"
    text, images = sent(request)
    assert text == PROMPTS["single-1"].text and near(images[1], RESULTS["GoodDrag"]["page 0"])
    assert len(images) == 2 and near(images[0], large.image.resize((1024, 341)))  # no larger ones are sent
    config = request.body["generationConfig"]
    assert config["responseMimeType"] == "application/json" and "temperature" not in config
    assert set(config["responseSchema"]["properties"]) == {"score"}
    assert (record["status"], record["scores"], record["rater"]) == ("rated", {"GoodDrag": 7.0}, rater.name)
    assert record["raw"]["model_version"] == "gemini-test-001" and json.loads(record["reply"]) == {"score": 7}


def test_every_reply_is_kept_and_nothing_is_asked_twice(rater, server, tmp_path):
    two = {method: dict(RESULTS[method]) for method in ("GoodDrag", "SDE-Drag")}
    records = gscore.rate(rater, SAMPLES, two, tmp_path)
    assert len(records) == len(server.requests) == len(list(tmp_path.iterdir())) == 2 * 2
    assert gscore.rate(rater, SAMPLES, two, tmp_path) == records and len(server.requests) == 4
    two["GoodDrag"]["page 0"] = picture((48, 48), seed=99)
    gscore.rate(rater, SAMPLES, two, tmp_path)
    assert len(server.requests) == 5  # the changed image


def test_all_methods_in_one_request_are_shuffled_and_told_apart(rater, server, tmp_path):
    server.script = [(200, answer(json.dumps({"A": 1, "B": 2.5, "C": 10})))]
    records = gscore.rate(rater, SAMPLES, RESULTS, tmp_path, "comparative-1")
    assert len({tuple(r["methods"]) for r in records}) > 1
    for record, request in zip(records, server.requests, strict=True):
        text, images = sent(request)
        assert "A, B, C" in text and "{labels}" not in text and len(images) == 4
        assert [record["scores"][m] for m in record["methods"]] == [1, 2.5, 10]
        assert all(near(i, RESULTS[m][record["sample"]]) for m, i in zip(record["methods"], images[1:], strict=True))
    again = gscore.rate(Chart(), SAMPLES, RESULTS, tmp_path / "0", "comparative-1")
    assert [r["methods"] for r in again] == [r["methods"] for r in records]
    server.script = [(200, answer('{"A": 8, "B": 6, "C": 1}'))]
    (released,) = gscore.rate(rater, SAMPLES[:1], RESULTS, tmp_path, "released")
    assert released["methods"] == ["GoodDrag", "DragDiffusion", "SDE-Drag"] and released["scores"]["SDE-Drag"] == 1
    with pytest.raises(ValueError, match=r"^results: 1 methods; the released prompt speaks of 3$"):
        gscore.rate(rater, SAMPLES, ONE, tmp_path, "released")


def test_a_pair_of_questions_sees_the_drag_and_gives_the_geometric_mean(rater, server, tmp_path):
    server.script = [(200, answer('{"consistency": 4, "quality": 9}'))]
    (record,) = gscore.rate(rater, SAMPLES[:1], ONE, tmp_path, "viescore-1")
    text, images = sent(server.requests[0])
    assert "red point" in text and len(images) == 3
    assert near(images[1], marked(SAMPLES[0].image, SAMPLES[0].points)) and near(images[0], SAMPLES[0].image)
    assert record["scores"] == {"GoodDrag": 6.0} and record["parts"] == {"consistency": 4, "quality": 9}


# what is no number


def test_a_blocked_reply_is_a_record_and_no_number(rater, server, tmp_path):
    blocked = [(200, {"promptFeedback": {"blockReason": "OTHER"}, "modelVersion": "v"}), (200, answer("", "SAFETY"))]
    blocked += [(200, answer('{"score": 7}', "RECITATION")), error(400, "Unable to process input image")]
    for reply, reason in zip(blocked, ("OTHER", "SAFETY", "RECITATION", "Unable to process"), strict=True):
        server.script, server.requests = [reply, rated(9)], []
        records = gscore.rate(rater, SAMPLES, ONE, tmp_path / reason)
        assert [(r["status"], r["scores"]) for r in records] == [("blocked", {}), ("rated", {"GoodDrag": 9.0})]
        assert reason in records[0]["detail"] and len(server.requests) == 2


def test_a_busy_service_is_waited_for_by_the_clients_themselves(rater, server, tmp_path):
    server.script = [error(503, "later"), rated(6)]
    (record,) = gscore.rate(rater, SAMPLES[:1], ONE, tmp_path)
    assert record["scores"] == {"GoodDrag": 6.0} and len(server.requests) == 2


@pytest.mark.parametrize(
    "reply",
    [answer(""), answer('{"sco', "MAX_TOKENS"), {"modelVersion": "v"}, answer("I cannot say"), answer('{"score": 11}')],
)
def test_what_is_of_no_use_is_asked_twice_more(rater, server, tmp_path, reply):
    server.script = [(200, reply), (200, reply), rated(6)]
    (record,) = gscore.rate(rater, SAMPLES[:1], ONE, tmp_path)
    assert record["scores"] == {"GoodDrag": 6.0} and len(server.requests) == 3
    server.script = [(200, reply)]
    (record,) = gscore.rate(rater, SAMPLES[1:], ONE, tmp_path)
    assert record["status"] == "malformed" and record["scores"] == {} and len(server.requests) == 6
    assert gscore.rate(rater, SAMPLES[1:], ONE, tmp_path) == [record] and len(server.requests) == 6


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"score": 8}', 8),
        ('```json\n{"score": 8, "reason": "smooth"}\n```', 8),
        ('Here it is: {"score": 8.5} as asked.', 8.5),
        *[(bad, None) for bad in ("", "8", '"8"', "[8]", "{}", '{"score": "8"}', '{"score": true}', '{"score": null}')],
        *[(bad, None) for bad in ('{"score": 11}', '{"score": -0.1}', '{"score": NaN}', '{"Score": 8}', "{" * 2000)],
    ],
)
def test_the_score_in_a_reply(text, score):
    if score is None:
        with pytest.raises(ValueError, match="^reply: "):
            PROMPTS["single-1"].read(text, 1)
    else:
        assert PROMPTS["single-1"].read(text, 1) == {"score": score}


# the service


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (error(404, "the model is gone"), "the model is gone"),
        (error(403, f"key {KEY} is not good"), r"key \[key\] is not good"),
        (error(400, "API key not valid"), "API key not valid"),
    ],
)
def test_what_no_other_question_helps_ends_the_run_and_it_resumes(rater, server, tmp_path, reply, said):
    server.script = [rated(5), reply]
    with pytest.raises(RuntimeError, match=said):
        gscore.rate(rater, SAMPLES, ONE, tmp_path)
    assert len(server.requests) == 2 and len(list(tmp_path.iterdir())) == 1
    server.script = [rated(8)]
    assert [r["scores"]["GoodDrag"] for r in gscore.rate(rater, SAMPLES, ONE, tmp_path)] == [5, 8]
    assert len(server.requests) == 3


def test_the_key_is_sent_and_appears_nowhere(rater, server, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    spoken = answer(json.dumps({"score": 3, "reason": f"your key is {KEY}"}))
    server.script = [(200, spoken), error(403, f"key {KEY} is not good")]
    with pytest.raises(RuntimeError) as caught:
        gscore.rate(rater, SAMPLES, ONE, tmp_path)
    request = server.requests[0]
    assert KEY in json.dumps(request.headers) and KEY not in request.path + json.dumps(request.body)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(rater)
    assert caught.value.__context__ is None  # the client's own error, whose text may hold the key
    files = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "[key]" in files and KEY not in shown + caplog.text + "".join(capfd.readouterr()) + files


def test_the_keys_places(rater, server, tmp_path, monkeypatch):
    monkeypatch.setenv("GOOGLE_API_KEY", "second")
    gscore.rate(rater, SAMPLES[:1], ONE, tmp_path)
    monkeypatch.delenv("GEMINI_API_KEY")
    gscore.rate(rater, SAMPLES[1:], ONE, tmp_path)
    assert [key in json.dumps(r.headers) for r, key in zip(server.requests, (KEY, "second"), strict=True)] == [True] * 2
    monkeypatch.setenv("GOOGLE_API_KEY", " ")
    with pytest.raises(RuntimeError, match=r"^no API key; expected one in the environment, GEMINI_API_KEY or GOOGLE_"):
        gscore.rate(rater, SAMPLES, ONE, tmp_path / "2")


# the protocol, and the numbers


class Chart:
    """Another rater is one class: this one likes everything alike."""

    name = "chart:1"

    def ask(self, text, images, schema):
        reply = json.dumps(dict.fromkeys(schema["properties"], 5))
        return {"candidates": [{"content": {"parts": [{"text": reply}]}}]}


def test_summary_by_hand():
    def one(sample, score, status="rated", prompt="single-1"):
        scores = {"GoodDrag": score} if status == "rated" else {}
        return dict(sample=sample, methods=["GoodDrag"], status=status, scores=scores, rater="r", prompt=prompt)

    row = gscore.summary([one("a", 6), one("b", 3)]).iloc[0].to_dict()
    assert row == dict(method="GoodDrag", gscore=4.5, samples=2, rated=2, blocked=0, malformed=0)
    row = gscore.summary([one("a", 6), one("b", 3), one("c", 0, "malformed")]).iloc[0]
    assert np.isnan(row["gscore"]) and (row["samples"], row["malformed"]) == (3, 1)  # no mean of the rest
    with pytest.raises(ValueError, match="^records: of more than one rater or prompt"):
        gscore.summary([one("a", 6), one("d", 1, prompt="released")])


def test_bad_arguments_ask_nothing(tmp_path):
    for arguments, message in (
        (dict(prompt="best"), "prompt: 'best'; expected one of single-1, comparative-1, released, viescore-1"),
        (dict(samples=SAMPLES[:1] * 2), "samples, results: .*expected an image of every method for distinct samples"),
        (dict(results={"GoodDrag": {"page 0": None}}), "samples, results: no GoodDrag of page 1; expected"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            gscore.rate(**{"rater": Chart(), "samples": SAMPLES, "results": RESULTS, "folder": tmp_path, **arguments})
    assert not list(tmp_path.iterdir())
