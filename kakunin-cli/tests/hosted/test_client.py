"""Each method of the published client whose resource exists here, and the shapes that it reads."""

import asyncio
import urllib.request
from pathlib import Path

import kakunin
import pytest
from kakunin import exceptions
from prometheus_client.parser import text_string_to_metric_families

SCOPE = {"max_single_trade_usd": 5000.0, "daily_limit_usd": 20000, "permitted_venues": ["NYSE"]}


def ask(service, talk):
    """Runs one conversation with the service."""

    async def conversation():
        url = f"{service['url']}/v1"
        async with kakunin.Kakunin(api_key=service["owner_key"], base_url=url) as client:
            return await talk(client)

    return asyncio.run(conversation())


async def create(client, name="Trade Bot"):
    return await client.agents.create(
        name=name,
        model="gpt-4o",
        version="2024-11",
        model_hash="sha256:abc",
        financial_scope=SCOPE,
        metadata={"team": "desk", "permitted_actions": ["trade.execute"]},
    )


def test_an_agent_is_created_read_changed_and_listed(service):
    async def talk(client):
        made = await create(client, "Listed Bot")
        assert (made.name, made.model, made.model_hash) == ("Listed Bot", "gpt-4o", "sha256:abc")
        # The client knows no word for an agent without a certificate.
        assert made.status == kakunin.AgentStatus.suspended
        changed = await client.agents.update(made.id, name="Other Bot", model_hash="sha256:def")
        assert (changed.name, changed.model_hash) == ("Other Bot", "sha256:def")
        read = await client.agents.get(made.id)
        assert read == changed
        assert read.metadata["scopes"] == ["trade.execute"]
        for number in range(3):
            await create(client, f"Bot {number}")
        seen, before = [], None
        while True:
            agents, page = await client.agents.list(limit=2, before=before)
            seen += [agent.id for agent in agents]
            if not page.has_next_page:
                break
            before = page.next_cursor
        assert made.id in seen
        assert len(seen) == len(set(seen)) >= 4
        active, _ = await client.agents.list(status=kakunin.AgentStatus.active, limit=100)
        assert made.id not in [agent.id for agent in active]

    ask(service, talk)


def test_an_agent_is_certified_signs_and_is_halted(service):
    async def talk(client):
        agent = await create(client)
        certificate = await client.agents.certify(agent.id)
        assert certificate.status.value == "active"
        assert certificate.pem.startswith("-----BEGIN CERTIFICATE-----")
        assert (await client.agents.get(agent.id)).status == kakunin.AgentStatus.active
        assert (await client.verify.certificate(certificate.serial_number))["valid"] is True

        payload = {"order": 7, "symbol": "AAPL"}
        signed = await client.agents.sign(agent.id, payload=payload)
        message = {"agent_id": agent.id, "certificate_serial": signed.certificate_serial}
        message["signature"] = signed.signature
        checked = await client.verify.message(payload=payload, **message)
        assert (checked.valid, checked.agent_id) == (True, agent.id)
        assert not (await client.verify.message(payload={"order": 8}, **message)).valid

        halted = await client.agents.halt(agent.id)
        assert halted.certificate_serial == certificate.serial_number
        assert (await client.agents.get(agent.id)).status == kakunin.AgentStatus.retired
        assert (await client.verify.certificate(certificate.serial_number))["status"] == "revoked"
        checked = await client.verify.message(payload=payload, **message)
        assert (checked.valid, checked.certificate_status.value) == (False, "revoked")
        # Prose is a reason too.
        assert (await client.agents.halt(agent.id, reason="it traded at night")).halt_event_id

    ask(service, talk)


def test_a_patch_lifts_nothing(service):
    async def talk(client):
        agent = await create(client)
        await client.agents.certify(agent.id)
        await client.agents.halt(agent.id)
        with pytest.raises(exceptions.ConflictError):
            await client.agents.update(agent.id, status="active")
        with pytest.raises(exceptions.ConflictError):
            await client.agents.update(agent.id, metadata={"scopes": ["*"]})
        with pytest.raises(exceptions.ConflictError):
            await client.agents.certify(agent.id)

    ask(service, talk)


def test_refusals_are_the_exceptions_of_the_client(service):
    async def talk(client):
        with pytest.raises(kakunin.NotFoundError, match="nothing here"):
            await client.agents.get("00000000-0000-4000-8000-000000000000")
        with pytest.raises(kakunin.ValidationError, match="limit"):
            await client.agents.list(limit=1000)
        with pytest.raises(exceptions.UnprocessableError, match="leverage"):
            await client.agents.create(
                name="x", model="m", version="1", model_hash="h", financial_scope={"leverage_permitted": True}
            )

    ask(service, talk)
    with pytest.raises(kakunin.AuthenticationError):
        ask({**service, "owner_key": "kak_live_wrong"}, lambda client: client.agents.list())


def test_its_own_guard_reads_what_the_certificate_says(service):
    async def talk(client):
        agent = await create(client)
        await client.agents.certify(agent.id)

        @kakunin.verify_agent_scope(client, agent.id, required_scopes=["trade.execute"])
        async def trade():
            return "done"

        @kakunin.verify_agent_scope(client, agent.id, required_scopes=["wire.send"])
        async def wire():
            return "done"

        assert await trade() == "done"
        with pytest.raises(kakunin.ScopeViolationError):
            await wire()
        await client.agents.halt(agent.id)
        with pytest.raises(kakunin.ScopeViolationError):
            await trade()

    ask(service, talk)


def test_events_and_chains_are_declared_read_and_closed(service):
    async def talk(client):
        agent = await create(client, "Chained Bot")
        certificate = await client.agents.certify(agent.id)
        chain = await client.chains.create(name="incident", description="a drill", metadata={"desk": 7})
        assert (chain.status.value, chain.event_count, chain.metadata) == ("open", 0, {"desk": 7})
        event = await client.events.create(
            agent_id=agent.id,
            action_type="transaction_initiated",
            chain_id=chain.chain_id,
            session_id="s-1",
            details={"amount_usd": 12},
        )
        assert (event.risk_score, event.risk_band.value, event.payload) == (0.3, "medium", {"amount_usd": 12})
        old = await client.events.create(
            agent_id=agent.id, action_type="transaction_anomaly", occurred_at="2020-01-01T00:00:00+00:00"
        )
        assert (old.risk_band.value, old.occurred_at.year) == ("high", 2020)

        seen, before = [], None
        while True:
            events, page = await client.events.list(agent_id=agent.id, limit=1, before=before)
            seen += [found.id for found in events]
            if not page.has_next_page:
                break
            before = page.next_cursor
        assert seen == [old.id, event.id]
        high, _ = await client.events.list(agent_id=agent.id, band=kakunin.RiskBand.high)
        assert [found.id for found in high] == [old.id]
        initiated, _ = await client.events.list(agent_id=agent.id, action_type="transaction_initiated")
        assert [found.id for found in initiated] == [event.id]

        risk = await client.agents.risk(agent.id, window_days=1)
        assert (risk.event_count, risk.high_risk_count, risk.medium_risk_count) == (2, 1, 1)
        assert (risk.risk_score, risk.risk_band.value, risk.avg_risk_score) == (0.85, "high", 0.575)
        assert (risk.window_days, risk.drift.drift_score) == (1, None)

        opened = await client.verify.chain(chain.chain_id)
        assert (opened.verified, opened.event_count) == (None, 1)
        closed = await client.chains.close(chain.chain_id)
        assert (closed.status.value, closed.event_count) == ("closed", 1)
        with pytest.raises(exceptions.ConflictError):
            await client.chains.close(chain.chain_id)
        with pytest.raises(exceptions.ConflictError):
            await client.events.create(agent_id=agent.id, action_type="api_call", chain_id=chain.chain_id)
        verified = await client.verify.chain(chain.chain_id)
        assert (verified.verified, verified.chain_hash) == (True, closed.chain_hash)
        whole = await client.chains.get(chain.chain_id)
        assert [found.event_id for found in whole.events] == [event.id]
        assert whole.participating_agents[0].certificate_serial == certificate.serial_number
        chains, _ = await client.chains.list(status="closed")
        assert chain.chain_id in [found.chain_id for found in chains]
        chains, _ = await client.chains.list(status=kakunin.ChainStatus.closed)
        assert chain.chain_id in [found.chain_id for found in chains]

        await client.agents.halt(agent.id)
        with pytest.raises(exceptions.UnprocessableError):
            await client.events.create(agent_id=agent.id, action_type="api_call")

    ask(service, talk)


def test_every_method_of_the_client_is_tried_here():
    """A method that a newer pin brings is one that this file has to have, too."""
    source = Path(__file__).read_text()
    client = kakunin.Kakunin(api_key="kak_live_x", base_url="http://127.0.0.1:1/v1")
    missing = []
    for resource, value in vars(client).items():
        if resource.startswith("_") or not type(value).__module__.startswith("kakunin."):
            continue
        for name in dir(value):
            if not name.startswith("_") and callable(getattr(value, name)):
                said = f"client.{resource}.{name}("
                if said not in source:
                    missing.append(said)
    assert missing == []


def test_the_numbers_are_what_prometheus_reads(service):
    families = {}
    with urllib.request.urlopen(f"{service['url']}/metrics", timeout=60) as answer:
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        for family in text_string_to_metric_families(answer.read().decode()):
            assert family.name not in families, "told twice"
            assert family.documentation, family.name
            families[family.name] = family
    for name, kind in {
        "kakunin_orders_waiting": "gauge",
        "kakunin_webhook_deliveries": "gauge",
        "kakunin_webhook_oldest_seconds": "gauge",
        "kakunin_feed_propagation_seconds": "histogram",
        "kakunin_feed_lag_epochs": "gauge",
        "kakunin_event_streams": "gauge",
        "kakunin_uploads": "gauge",
        "kakunin_webhook_attempts": "counter",
    }.items():
        assert families[name].type == kind, name
    told = families["kakunin_feed_propagation_seconds"].samples
    buckets = [sample for sample in told if sample.name.endswith("_bucket")]
    assert buckets[-1].labels == {"le": "+Inf"}
    assert [bucket.value for bucket in buckets] == sorted(bucket.value for bucket in buckets)
    lanes = {sample.labels["lane"] for sample in families["kakunin_orders_waiting"].samples}
    assert lanes >= {"urgent", "ordinary", "kept"}


def test_reports_say_what_receipts_show_and_nothing_is_made_up(service):
    async def talk(client):
        agent = await create(client, "Reported Bot")
        asked = {"window_days": 7, "standards_frameworks": ["nist_csf", "iso_27001"]}
        report = await client.reports.create(agent_id=agent.id, **asked)
        assert (report.agent_id, report.status.value) == (agent.id, "ready")
        assert (report.period_end - report.period_start).days == 7
        # It sent no receipts: nothing is evidenced, and it says so.
        assert report.summary.startswith("EMPTY: 0 evidenced, 0 partial")
        again = await client.reports.get(report.id)
        assert again == report
        with pytest.raises(exceptions.NotFoundError):
            await client.reports.get("00000000-0000-4000-8000-000000000000")

    ask(service, talk)
