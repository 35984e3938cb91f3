"""The engine for OpenAI-compatible servers, against a small server on this machine that misbehaves on demand."""

from __future__ import annotations

import json
import math
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from elenchus import conversation
from elenchus.critics import model as critic
from elenchus.engines import Sampling, client
from elenchus.engines.openai_engine import OpenAIEngine, cut, messages_of
from elenchus.engines.settings import Served, Server
from elenchus.errors import UserError

KEY = "sk-secret-of-this-test"


class Fake:
    """A server's state: requests seen, and what to answer next instead of a completion: (status, headers, body)."""

    def __init__(self):
        self.seen, self.headers, self.next, self.text = [], [], [], "#1 good right"
        self.logprobs, self.most, self.now, self.lock = True, 0, 0, threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with fake.lock:
                    fake.seen.append((self.path, body))
                    fake.headers.append(dict(self.headers))
                    fake.now += 1
                    fake.most = max(fake.most, fake.now)
                    status, headers, answer = fake.next.pop(0) if fake.next else (200, {}, fake.answer(body))
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                with fake.lock:
                    fake.now -= 1
                self.send_response(status)
                for k, v in {**headers, "content-length": str(len(data))}.items():
                    self.send_header(k, v)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, body: dict) -> dict:
        words = [w + " " for w in self.text.split()]
        places = [{"token": w, "logprob": -0.25} for w in words]
        choice = {"finish_reason": "stop", "message": {"content": self.text}, "text": self.text}
        if self.logprobs:
            by = {"content": places, "tokens": words, "token_logprobs": [-0.25] * len(words)}
            choice["logprobs"] = by
        return {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": len(words)}}


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(client, "FIRST_WAIT", 0.01)
    monkeypatch.delenv("ELENCHUS_SERVER_KEY", raising=False)
    made = Fake()
    yield made
    made.http.shutdown()
    made.http.server_close()


def engine(fake, tmp_path, api="chat", **server) -> OpenAIEngine:
    return OpenAIEngine(Served(model="m", api=api), Server(**{"url": fake.url, **server}), work=tmp_path / "work")


def asks(made, n=3) -> list[str]:
    return [conversation.render(made.tokenizer, conversation.critique(f"q{i}", "a"), "critic") for i in range(n)]


def test_a_critic_behind_a_server(fake, tmp_path):
    made = engine(fake, tmp_path)
    rows = made.sample(asks(made), Sampling(temperature=0.5, max_tokens=7, top_p=0.9), seed=3, n=2)
    assert [len(row) for row in rows] == [2, 2, 2] and len(fake.seen) == 6
    path, body = fake.seen[0]
    assert path == "/v1/chat/completions"
    assert (body["model"], body["temperature"], body["max_tokens"], body["top_p"]) == ("m", 0.5, 7, 0.9)
    assert [m["role"] for m in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][2]["content"] == Served(model="m").request
    assert len({b["seed"] for _, b in fake.seen}) == 6
    one = rows[0][0]
    assert (one.text, one.finish, one.logprobs) == ("#1 good right", "end", (-0.25,) * 3)
    assert [(w, round(p, 6)) for w, p in critic.verdicts(made.tokenizer, one)] == [
        (w, round(math.exp(-0.25), 6)) for w in ("good", "right")
    ]
    assert (made.sampled_tokens, made.prompt_tokens) == (18, 60)


def test_without_log_probabilities_they_are_unknown(fake, tmp_path):
    fake.logprobs = False
    made = engine(fake, tmp_path)
    (one,) = made.sample(asks(made, 1), Sampling(), seed=0)[0]
    assert len(one.logprobs) == 3 and all(map(math.isnan, one.logprobs))
    assert all(math.isnan(p) for _, p in critic.verdicts(made.tokenizer, one))


def test_what_is_answered_is_not_asked_again(fake, tmp_path):
    made = engine(fake, tmp_path)
    first = made.sample(asks(made, 4), Sampling(), seed=0)
    path = tmp_path / "work" / "answers.jsonl"
    kept = path.read_bytes()
    path.write_bytes(kept[:-20])  # a kill in the midst of the last line
    again = engine(fake, tmp_path)
    fake.seen.clear()
    assert again.sample(asks(again, 5), Sampling(), seed=0)[:4] == first
    assert len(fake.seen) == 2  # the line that was cut, and the new one
    assert len(path.read_bytes().splitlines()) == 5 and again.sampled_tokens == 15


def test_passing_failures_are_tried_again(fake, tmp_path):
    fake.next = [
        (429, {"retry-after": "0.01"}, {"error": {"message": "slow down"}}),
        (503, {}, b"busy"),
        (500, {}, b""),
    ]
    made = engine(fake, tmp_path, parallel=1)
    assert made.sample(asks(made, 1), Sampling(), seed=0)[0][0].text == "#1 good right"
    assert len(fake.seen) == 4


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([(401, {}, {"error": {"message": "bad key"}})], ["server.key", "ELENCHUS_SERVER_KEY is not set", "bad key"]),
        ([(404, {}, {"error": "no model m"})], ["refuses the request", "404", "no model m"]),
        (
            [(429, {}, {"error": {"code": "insufficient_quota", "message": "insufficient_quota"}})],
            ["insufficient_quota"],
        ),
        ([(200, {}, b"<html>hello</html>")], ["not as an OpenAI-compatible server", "<html>"]),
        ([(503, {}, b"busy")] * 9, ["server.url", "3 tries", "busy"]),
    ],
)
def test_lasting_failures_are_one_plain_message(fake, tmp_path, answers, words):
    fake.next = list(answers)
    made = engine(fake, tmp_path, retries=2, parallel=1)
    with pytest.raises(UserError) as e:
        made.sample(asks(made, 1), Sampling(), seed=0)
    assert all(w in str(e.value) for w in words), str(e.value)


def test_an_unreachable_server_is_said(tmp_path, fake):
    fake.http.shutdown()
    fake.http.server_close()
    made = engine(fake, tmp_path, retries=1)
    with pytest.raises(
        UserError, match=r"(?s)server\.url: http://127.*2 tries.*nothing answers there.*Start the server"
    ):
        made.sample(asks(made, 8), Sampling(), seed=0)


def test_a_key_is_sent_and_written_nowhere(fake, tmp_path, monkeypatch):
    monkeypatch.setenv("ELENCHUS_SERVER_KEY", KEY)
    made = engine(fake, tmp_path)
    made.sample(asks(made), Sampling(), seed=0)
    sent = [{k.lower(): v for k, v in h.items()} for h in fake.headers]
    assert all(h["authorization"] == f"Bearer {KEY}" for h in sent)
    assert not any(KEY.encode() in p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    fake.next = [(403, {}, {"error": {"message": "revoked"}})]
    with pytest.raises(UserError, match="is set, but refused") as e:
        made.sample(asks(made, 4), Sampling(), seed=0)
    assert KEY not in str(e.value)
    with pytest.raises(UserError, match="unencrypted"):
        engine(fake, tmp_path, url="http://example.org/v1")


def test_the_cost_cap_holds_and_a_higher_one_goes_on(fake, tmp_path):
    price = {"prompt_price": 0.0, "sampled_price": 1e6}  # 1 a token: an answer costs 3, and may cost 4
    made = engine(fake, tmp_path, cost_cap=14, parallel=8, **price)
    with pytest.raises(UserError, match=r"server\.cost_cap: 14 is reached: 12 spent on 4 answers.*next may cost 4"):
        made.sample(asks(made, 20), Sampling(max_tokens=4), seed=0)
    assert made.client.cost == 12 and len(fake.seen) == 4
    more = engine(fake, tmp_path, cost_cap=61, parallel=8, **price)
    assert more.client.cost == 12
    assert len(more.sample(asks(more, 20), Sampling(max_tokens=4), seed=0)) == 20
    assert len(fake.seen) == 20 and more.client.cost == 60
    with pytest.raises(UserError, match="prices are set but no cap"):
        engine(fake, tmp_path, sampled_price=1.0)


def test_requests_in_flight_and_per_minute_are_bounded(fake, tmp_path, monkeypatch):
    made = engine(fake, tmp_path, parallel=2)
    made.sample(asks(made, 12), Sampling(), seed=0)
    assert fake.most <= 2
    made, waits = engine(fake, tmp_path / "other", per_minute=5, parallel=1), []
    clock = [1000.0]
    monkeypatch.setattr(client.time, "monotonic", lambda: clock[0])

    class Stopped(threading.Event):
        def wait(self, timeout=None):
            waits.append(timeout)
            clock[0] += timeout
            return self.is_set()

    made.client.stopped = Stopped()
    made.sample(asks(made, 12), Sampling(), seed=0)
    assert waits == [60.0, 60.0]  # after the fifth and the tenth


def test_stop_words_are_kept(fake, tmp_path):
    assert cut("a b #2 c answer", ("answer", "#2")) == ("a b #2", True)
    assert cut("a b", ("#2",)) == ("a b", False)
    fake.next = [(200, {}, {"choices": [{"finish_reason": "stop", "stop_reason": "#2", "message": {"content": "a "}}]})]
    made = engine(fake, tmp_path)
    (one,) = made.sample(asks(made, 1), Sampling(stop=("#2",)), seed=0)[0]
    assert (one.text, one.finish) == ("a #2", "stop") and fake.seen[0][1]["stop"] == ["#2"]


def test_what_the_interface_does_not_have_is_refused(fake, tmp_path):
    made = engine(fake, tmp_path)
    with pytest.raises(UserError, match="top_k"):
        made.sample(asks(made, 1), Sampling(top_k=3), seed=0)
    with pytest.raises(UserError, match="cannot score"):
        made.score(["a"], ["b"])
    with pytest.raises(UserError, match="half-way"):
        messages_of(asks(made, 1)[0] + " and on")
    with pytest.raises(UserError, match="no folder with a tokenizer"):
        OpenAIEngine(Served(model="m", api="completions"), Server(url=fake.url), work=tmp_path)
