"""C52: one issuing authority speaks for an agent, however many stand under its root."""

from __future__ import annotations

import re
import shutil

import kakunin
import pytest
from conftest import Home
from kakunin import Agent, verify_agent_scope
from kakunin.testing import assert_denied


@pytest.fixture(scope="module")
def neighbours(cli, tmp_path_factory):
    """One agent as two authorities under one root certified it, with their lists: ours and the other."""
    home = Home(cli, tmp_path_factory.mktemp("neighbours"))
    name, ours = home.create({"actions": ["read:*"]})
    lists = home.path / "home" / "public" / "lists.pem"
    shutil.copy(lists, ours / "lists.pem")
    other = home.path / "other"
    shutil.copytree(ours, other)
    home("rotate")
    home("agent", "renew", name, "--out", other)
    (other / "chain.pem").write_text((home.path / "home" / "public" / "chain.pem").read_text())
    shutil.copy(lists, other / "lists.pem")
    return ours, other


def parts(directory):
    return {part: directory / f"{part}.pem" for part in ("key", "chain", "ca", "lists")}


def pin(directory):
    return re.search(r'^issuer = "([0-9a-f]{64})"', (directory / "agent.toml").read_text(), re.M)[1]


def read(agent):
    return verify_agent_scope("read:x", agent=agent)(lambda: "ran")()


def foreign_lists(other):
    """The neighbour's list and the root's: what the neighbour's own agent needs, and no more."""
    block = r"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----\n"
    blocks = re.findall(block, (other / "lists.pem").read_text(), re.S)
    for ours in blocks:
        lists = "".join(block for block in blocks if block is not ours)
        agent = Agent.from_pem(other / "agent.pem", **{**parts(other), "lists": lists})
        if agent.guard.check("read:x"):
            return lists
    raise AssertionError("every list is needed")


def test_an_issuer_that_is_named_is_the_only_one(neighbours):
    ours, other = neighbours
    assert pin(ours) != pin(other) and (ours / "ca.pem").read_bytes() == (other / "ca.pem").read_bytes()
    assert read(Agent.from_pem(ours / "agent.pem", **parts(ours), issuer=pin(ours))) == "ran"
    # Everything about it is in order, up to the root.
    assert read(Agent.from_pem(other / "agent.pem", **parts(other))) == "ran"
    with assert_denied("certificate.untrusted"):
        read(Agent.from_pem(other / "agent.pem", **parts(other), issuer=pin(ours)))


def test_a_neighbour_speaks_by_no_list(neighbours):
    ours, other = neighbours
    agent = Agent.from_pem(ours / "agent.pem", **parts(ours))
    assert read(agent) == "ran"
    agent.take_notices()
    strangers = foreign_lists(other)
    agent.replace_lists(strangers)
    assert read(agent) == "ran"
    assert "refused" in "".join(agent.take_notices())
    with assert_denied("revocation.invalid"):
        read(Agent.from_pem(ours / "agent.pem", **{**parts(ours), "lists": strangers}))


@pytest.mark.parametrize("issuer", ["", "sha256", "AB" * 32, "0" * 63])
def test_what_is_no_digest_names_no_issuer(neighbours, issuer):
    ours, _ = neighbours
    with pytest.raises(kakunin.KakuninError, match="`issuer` is no SHA-256"):
        Agent.from_pem(ours / "agent.pem", **parts(ours), issuer=issuer)
