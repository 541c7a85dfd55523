"""What the evidence of the drill shows, written down by hand before it is asked.

`SHOWN` says of each predicate how far it holds in this story and why. From that and from how far receipts can
carry a control, each row of each framework has one status; `NAMED` says some of them once more, row by row.
"""

from __future__ import annotations

#: Predicates of docs/evidence.md: held, partly, unseen.
SHOWN = {
    # The owner's log has every stream to its end, and a witness saw it. What is open is `time.unproven`: the
    # agent was revoked, and nobody outside saw the calls of its last minute before it was.
    "log_contiguous": ("partly", "not complete: time.unproven"),
    "all_writes_receipted": ("partly", "receipts are not whole: time.unproven"),
    "denials_recorded": ("partly", "receipts are not whole: time.unproven"),
    "scope_denied": ("partly", "receipts are not whole: time.unproven"),
    "decisions_described": ("partly", "receipts are not whole: time.unproven"),
    "enforced": ("partly", "receipts are not whole: time.unproven"),
    "lists_fresh": ("partly", "receipts are not whole: time.unproven"),
    # It was stopped, and calls were denied for it; that the allowed ones are older is its own word.
    "stop_enforced": ("partly", "denied because the agent was stopped"),
    # The guard heard of both stops by the feed, before it took up another list.
    "revocation_latency": ("unseen", "no list was signed while a guard ran"),
    # Certificates of seven days, each under one root, whose actions all have names.
    "certificates_expire": ("held", "certificates signed"),
    "scope_bounded": ("held", "is named, or bounded"),
    "identities_proven": ("held", "each under one root and one name"),
    # Decisions come out the same by certificate and list; a denial for how it stood is not decided again.
    "decisions_replay": ("partly", "cannot be decided again"),
    # The witness saw every receipt, the last ones after the revocation.
    "time_witnessed": ("held", "a witness saw"),
    # The gate promoted the agent before it drifted, and refused it afterwards.
    "gate_signed": ("held", "1 promotions and 1 refusals"),
    # The gate's own calls are not judged by the agent's baseline.
    "risk_replayed": ("partly", "the highest revoke"),
    # Nobody asked a gateway, no call follows from another one, nothing was erased, and all of it is new.
    "callers_proven": ("unseen", "no gateway was asked"),
    "chain_rebuilds": ("unseen", "no call follows from another"),
    "erasures_recorded": ("unseen", "nothing was erased"),
    "records_kept": ("unseen", "0 days before"),
}

#: Rows by name, with why. Everything else follows from the table above in the same way.
NAMED = {
    # Direct, and each predicate holds.
    ("csf-2.0", "PR.AA-01"): "evidenced",  # who acted, under certificates that end
    ("csf-2.0", "PR.AA-03"): "evidenced",  # each receipt by the key of its certificate
    ("iso-27001-2022", "A.5.16"): "evidenced",
    ("sp800-53-r5", "SC-17"): "evidenced",
    ("sp800-53-r5", "AU-8"): "evidenced",  # a witness saw every receipt
    # Direct, and something is open: when the last calls before the revocation were made is the agent's word.
    ("csf-2.0", "RS.MI-01"): "partial",  # it was stopped
    ("csf-2.0", "PR.AA-05"): "partial",
    ("sp800-53-r5", "AC-3"): "partial",
    ("eu-ai-act", "Art. 12"): "partial",
    ("ai-rmf-1.0", "MANAGE 2.4"): "partial",
    ("owasp-agentic-2026", "ASI03"): "partial",
    # It holds, and receipts carry only a part of the control.
    ("sp800-53-r5", "CM-3"): "partial",  # the gate's verdicts
    ("csf-2.0", "ID.RA-07"): "partial",
    ("soc2", "CC8.1"): "partial",
    # The behaviour was judged, and so it says at which level it ended.
    ("csf-2.0", "DE.AE-02"): "partial",
    ("owasp-agentic-2026", "ASI10"): "partial",
    ("soc2", "CC7.2"): "partial",
    # Nothing in this story is about these.
    ("csf-2.0", "DE.AE-03"): "no-evidence",  # no call of one agent follows from another's
    ("owasp-agentic-2026", "ASI08"): "no-evidence",
    ("sp800-53-r5", "IA-3"): "no-evidence",  # no gateway
    ("mica", "Art. 68(9)"): "no-evidence",  # five years
    ("ai-rmf-1.0", "GV-1.5-003"): "no-evidence",
}


def status(predicates: list[str], carries: str) -> str:
    """What a row comes to, as docs/evidence.md says it."""
    shown = {SHOWN[predicate][0] for predicate in predicates}
    if "against" in shown:
        return "contradicted"
    if shown == {"unseen"}:
        return "no-evidence"
    return "evidenced" if shown == {"held"} and carries == "direct" else "partial"
