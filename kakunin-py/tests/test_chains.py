"""Decision chains: what travels with a call, and what the receipts on both sides say."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import email.message
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import kakunin
import pytest
from conftest import Journal, decoded
from kakunin import NotExecuted, ScopeDenied, agent_context, chain_headers, chain_meta, verify_agent_scope
from kakunin.testing import open_agent

SCOPE = {"actions": ["read:*", "write:*"]}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
READ = verify_agent_scope("read:x")


def parents(receipt: dict) -> list[str]:
    return receipt.get("par", [])


def named(receipt: str) -> str:
    """A receipt's name in headers, from the one in receipts."""
    return decoded(receipt.encode()).hex()


@pytest.fixture
def acting(home):
    _, directory = home.create(SCOPE)
    agent = open_agent(str(directory))
    with agent_context(agent):
        yield agent
    agent.close()


@pytest.fixture
def journal(home, acting):
    return Journal(home.path / f"agent-{home.number}")


@READ
def link():
    """What a body hands on."""
    return chain_headers()


def test_without_a_chain_receipts_are_in_none_and_nothing_is_handed_on(acting, journal):
    assert link() == {}
    assert chain_meta() == {}
    assert not any("chn" in receipt for receipt in journal())
    assert not any(parents(receipt) for receipt in journal.decisions())


def test_a_chain_is_what_both_receipts_of_its_calls_say(acting, journal):
    with kakunin.chain() as chain:
        link()
        with pytest.raises(ScopeDenied):
            verify_agent_scope("delete:x")(lambda: None)()
    link()
    first, outcome, denied, after, _ = journal("decision", "outcome")
    assert [receipt["chn"] for receipt in (first, outcome, denied)] == [chain.id] * 3
    assert [receipt["cn"] for receipt in (first, outcome, denied)] == [0, 1, 2]
    assert "chn" not in after


def test_a_nested_call_follows_from_the_one_whose_body_it_is_in(acting, journal):
    @READ
    def outer():
        link()
        link()

    with kakunin.chain():
        outer()
        link()
    outer_, first, second, beside = journal.decisions()
    assert parents(first) == parents(second) == [outer_["hash"]]
    assert parents(outer_) == parents(beside) == []


def test_what_is_handed_on_names_the_running_decision(acting, journal):
    with kakunin.chain(traceparent=TRACE) as chain:
        headers = link()
    (decision,) = journal.decisions()
    assert headers == {"kakunin-chain": f"{chain.id};from={named(decision['hash'])}", "traceparent": TRACE}
    assert decision["tp"] == TRACE


@pytest.mark.parametrize(
    "carry",
    [
        lambda headers: headers,
        lambda headers: {name.title(): value for name, value in headers.items()},
        lambda headers: [(name.encode(), value.encode()) for name, value in headers.items()],
        lambda headers: _message(headers),
    ],
)
def test_headers_of_any_kind_are_picked_up(acting, journal, carry):
    with kakunin.chain(traceparent=TRACE) as begun:
        headers = link()
    with kakunin.chain.picked_up(carry(headers)) as chain:
        link()
    caller, called = journal.decisions()
    assert chain.id == begun.id == called["chn"]
    assert parents(called) == [caller["hash"]]
    assert called["tp"] == TRACE


def _message(headers):
    message = email.message.Message()
    for name, value in headers.items():
        message[name.upper()] = value
    return message


def test_meta_is_picked_up_as_a_mapping_and_as_the_sdk_reads_it(acting, journal):
    class Meta:
        def __init__(self, members):
            self.members = members

        def model_dump(self, *, by_alias, exclude_none):
            return self.members

    with kakunin.chain() as begun:
        meta = READ(chain_meta)()
    assert set(meta) == {"kakunin/chain"}
    for carrier in (json.loads(json.dumps({"progressToken": 1, **meta})), Meta(meta)):
        with kakunin.chain.picked_up(carrier) as chain:
            link()
        assert chain.id == begun.id
    caller, *called = journal.decisions()
    assert [parents(receipt) for receipt in called] == [[caller["hash"]]] * 2


def test_whatever_passes_a_call_on_without_deciding_passes_the_link_on(acting):
    with kakunin.chain():
        headers = link()
    with kakunin.chain.picked_up(headers):
        assert chain_headers() == headers


GOOD = f"{'ab' * 16};from={'cd' * 32}"


@pytest.mark.parametrize(
    "carrier",
    [
        {"kakunin-chain": "x"},
        {"kakunin-chain": GOOD.upper()},
        {"kakunin-chain": GOOD + " "},
        {"kakunin-chain": "ä" + GOOD},
        {"kakunin-chain": None},
        {"kakunin-chain": GOOD, "Kakunin-Chain": GOOD},
        [(b"kakunin-chain", GOOD.encode()), (b"kakunin-chain", GOOD.encode())],
        {"kakunin/chain": GOOD},
        {"kakunin/chain": {"chain": "ab" * 16}},
        {"kakunin/chain": {"chain": "ab" * 16, "from": "cd" * 32, "more": 1}},
        {"kakunin/chain": object()},
        {"kakunin/chain": float("nan")},
        "kakunin-chain",
        7,
    ],
)
def test_what_is_no_link_begins_a_chain_and_is_a_warning(acting, journal, caplog, carrier):
    with caplog.at_level(logging.WARNING, "kakunin"), kakunin.chain.picked_up(carrier) as chain:
        link()
    assert "a link was not picked up" in caplog.text
    assert "ab" * 16 not in caplog.text
    (decision,) = journal.decisions()
    assert decision["chn"] == chain.id != "ab" * 16
    assert parents(decision) == []


@pytest.mark.parametrize("carrier", [None, {}, {"traceparent": TRACE}, {"other": 1}, [], {1: 2}])
def test_who_sends_no_link_begins_a_chain_quietly(acting, caplog, carrier):
    with caplog.at_level(logging.WARNING, "kakunin"), kakunin.chain.picked_up(carrier):
        link()
    assert caplog.text == ""


def test_a_malformed_trace_is_left_out_and_the_link_stands(acting, journal):
    with kakunin.chain.picked_up({"kakunin-chain": GOOD, "traceparent": "00-xyz"}) as chain:
        link()
    (decision,) = journal.decisions()
    assert chain.id == "ab" * 16
    assert "tp" not in decision
    with pytest.raises(ValueError, match="traceparent"):
        kakunin.chain(traceparent="00-xyz")


def test_a_link_to_nothing_is_a_warning(acting, caplog):
    with caplog.at_level(logging.WARNING, "kakunin"), kakunin.chain():
        assert chain_headers() == chain_meta() == {}
    assert caplog.text.count("is not handed on") == 2


def test_several_actions_of_one_call_follow_one_another(acting, journal):
    both = verify_agent_scope(object(), agent_id=acting.agent_id, required_scopes=["read:x", "write:x"])
    with kakunin.chain():
        both(link)()
        link()
    first, second, inner, beside = journal.decisions()
    assert parents(second) == [first["hash"]]
    assert parents(inner) == [second["hash"]]
    assert parents(beside) == []


@pytest.mark.parametrize("error", [ValueError, NotExecuted, KeyboardInterrupt])
def test_a_body_that_raises_leaves_its_place(acting, journal, error):
    @READ
    def fail():
        raise error

    with kakunin.chain():
        with pytest.raises(error):
            fail()
        link()
    assert parents(journal.decisions()[-1]) == []


def test_tasks_have_the_place_they_were_made_in(acting, journal):
    @READ
    async def work(depth):
        await asyncio.sleep(0)
        if depth:
            await asyncio.gather(work(depth - 1), work(depth - 1))
        await asyncio.sleep(0)

    async def main():
        with kakunin.chain():
            await asyncio.gather(work(1), work(1))
            await work(0)

    asyncio.run(main())
    receipts = {receipt["hash"]: receipt for receipt in journal.decisions()}
    roots = [receipt for receipt in receipts.values() if not parents(receipt)]
    children = [parents(receipt)[0] for receipt in receipts.values() if parents(receipt)]
    assert len(receipts) == 7
    assert len(roots) == 3
    assert sorted(children.count(root["hash"]) for root in roots) == [0, 2, 2]


def test_a_cancelled_task_leaves_its_place(acting, journal):
    @READ
    async def hang():
        await asyncio.sleep(60)

    async def main():
        with kakunin.chain():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(hang(), 0.01)
            link()

    asyncio.run(main())
    assert parents(journal.decisions()[-1]) == []
    assert journal("outcome")[0]["res"] == "cancelled"


def test_threads_that_copy_the_context_are_in_the_chain_and_others_are_not(acting, journal):
    @READ
    def outer():
        context = contextvars.copy_context()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(context.run, link).result()

    def stranger():
        with agent_context(acting):
            link()

    with kakunin.chain():
        outer()
        thread = threading.Thread(target=stranger)
        thread.start()
        thread.join()

    async def main():
        with kakunin.chain():
            await asyncio.to_thread(link)

    asyncio.run(main())
    outer_, copied, strange, awaited = journal.decisions()
    assert parents(copied) == [outer_["hash"]]
    assert "chn" not in strange
    assert "chn" in awaited


@pytest.mark.parametrize("way", ["exhausted", "closed", "thrown", "dropped"])
def test_a_generator_is_in_its_place_only_while_it_runs(acting, journal, way):
    seen = []

    @READ
    def steps():
        try:
            for _ in range(3):
                link()
                with contextlib.suppress(ZeroDivisionError):
                    seen.append((yield 1))
        finally:
            link()

    with kakunin.chain():
        running = steps()
        next(running)
        link()
        running.send("sent")
        link()
        if way == "exhausted":
            assert list(running) == [1]
        elif way == "closed":
            running.close()
        elif way == "thrown":
            running.throw(ZeroDivisionError)
            running.close()
        del running
        link()
    assert seen[0] == "sent"
    generator, first, beside, second, beside_, *later, last = journal.decisions()
    assert parents(first) == parents(second) == [generator["hash"]]
    assert all(parents(receipt) == [generator["hash"]] for receipt in later)
    assert parents(beside) == parents(beside_) == parents(last) == []


@pytest.mark.parametrize("way", ["exhausted", "closed", "thrown"])
def test_an_async_generator_is_in_its_place_only_while_it_runs(acting, journal, way):
    @READ
    async def steps():
        try:
            for _ in range(3):
                link()
                await asyncio.sleep(0)
                with contextlib.suppress(ZeroDivisionError):
                    yield 1
        finally:
            link()

    async def main():
        with kakunin.chain():
            running = steps()
            await running.__anext__()
            link()
            await running.asend("sent")
            link()
            if way == "exhausted":
                assert [item async for item in running] == [1]
            elif way == "thrown":
                await running.athrow(ZeroDivisionError)
            await running.aclose()
            link()

    asyncio.run(main())
    generator, first, beside, second, beside_, *later, last = journal.decisions()
    assert later
    assert all(parents(receipt) == [generator["hash"]] for receipt in (first, second, *later))
    assert parents(beside) == parents(beside_) == parents(last) == []


def test_a_generator_gives_and_takes_in_a_chain_as_without_one(acting):
    @READ
    def echo():
        got = yield "ready"
        while got != "end":
            try:
                got = yield got
            except ValueError as error:
                got = str(error)
        return "over"

    def run():
        running = echo()
        said = [next(running), running.send(1), running.throw(ValueError("two"))]
        with pytest.raises(StopIteration) as end:
            running.send("end")
        return [*said, end.value.value]

    with kakunin.chain():
        inside = run()
    assert inside == run() == ["ready", 1, "two", "over"]


def test_one_chain_may_be_entered_by_several_at_a_time(acting, journal):
    chain = kakunin.chain()

    async def enter(times):
        with chain:
            await asyncio.sleep(0)
            with chain:
                await asyncio.sleep(0)
            link()
        assert chain_headers() == {}

    async def main():
        await asyncio.gather(*(enter(n) for n in range(8)))

    asyncio.run(main())
    assert {receipt["chn"] for receipt in journal.decisions()} == {chain.id}
    assert [receipt["cn"] for receipt in journal("decision", "outcome")] == list(range(16))


def test_a_join_follows_from_all_it_names(acting, journal):
    with kakunin.chain() as chain:
        answers = [link() for _ in range(10)]
        name = kakunin.chain.join(*answers)
        link()
    *first, after = journal.decisions()
    joins = [receipt for receipt in journal("ctl") if receipt["ctl"]["kind"] == "join"]
    assert [receipt["chn"] for receipt in joins] == [chain.id] * 2
    assert parents(joins[0]) == [receipt["hash"] for receipt in first[:8]]
    assert parents(joins[1]) == [joins[0]["hash"], *(receipt["hash"] for receipt in first[8:])]
    assert parents(after) == [joins[1]["hash"]]
    assert name == named(joins[1]["hash"])


def test_a_join_inside_a_body_still_follows_from_it(acting, journal):
    @READ
    def outer():
        kakunin.chain.join("ef" * 32)
        link()

    with kakunin.chain():
        outer()
        link()
    decision, inner, beside = journal.decisions()
    (join,) = journal("ctl")
    assert [named(parent) for parent in parents(join)] == [named(decision["hash"]), "ef" * 32]
    assert parents(inner) == [join["hash"]]
    assert parents(beside) == []


def test_an_answer_of_another_chain_is_not_joined(acting, journal, caplog):
    with kakunin.chain():
        link()
        kakunin.chain.join("ef" * 32, {"kakunin-chain": GOOD}, {"kakunin-chain": "x"}, {})
    (join,) = journal("ctl")
    assert [named(parent) for parent in parents(join)] == ["ef" * 32]
    assert caplog.text.count("was not joined") == 3


def test_a_join_of_nothing_or_without_a_chain_is_an_error(acting):
    with pytest.raises(kakunin.KakuninError, match="needs a chain"):
        kakunin.chain.join("ef" * 32)
    with kakunin.chain():
        with pytest.raises(kakunin.KakuninError, match="cannot be recorded"):
            kakunin.chain.join()
        with pytest.raises(ValueError, match="64 lower-case"):
            kakunin.chain.join("ef")


def test_the_verifier_finds_every_chain_whole(cli, acting, home):
    @READ
    def outer():
        link()

    for _ in range(3):
        with kakunin.chain():
            outer()
            kakunin.chain.join("ef" * 32)
    acting.close()
    directory = home.path / f"agent-{home.number}"
    done = cli("verify", directory, "--root", directory / "ca.pem", "--json", check=False)
    report = json.loads(done.stdout)
    assert report["verdict"] == "AUTHENTIC-NOT-COMPLETE"
    assert "receipt.chain" not in json.dumps(report)
