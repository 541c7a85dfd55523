"""What the parameters of AgentDojo's tools mean to a leash.

AgentDojo annotates nothing, so this table is ours: which parameter of a tool says who is dealt with, which
object is touched, how much money moves. Tools that only read are left out, except where the address itself
carries data out (a web page that is fetched) or where the object is somebody's (an inbox, a channel, a file
of the account).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Meaning:
    """The parameters of one tool by what they are to a leash."""

    counterparties: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    amount: str | None = None
    #: Its counterparties are personal identifiers, which belong into a list beside the certificate.
    personal: bool = False


def meaning(suite: str, tool: str) -> Meaning:
    """The meaning of a tool's parameters; of an unlisted tool only the name counts."""
    return MEANINGS[suite].get(tool, Meaning())


def names(value: object) -> Iterator[str]:
    """The names in an argument, each spelled the one way in which the host knows it.

    A certificate compares names byte for byte. That `Acme.com/` and `https://acme.com` are one counterparty
    is the host's knowledge, so the host's selector says it, here and when the scope is written.
    """
    if value is None:
        return
    for each in value if isinstance(value, (list, tuple)) else (value,):
        yield SCHEME.sub("", str(each).strip().lower()).rstrip("/")


def names_of(parameters: tuple[str, ...]) -> Callable[[Mapping[str, object]], list[str]]:
    """A selector for the names in several parameters of a call."""
    return lambda call: [name for parameter in parameters for name in names(call[parameter])]


SCHEME = re.compile(r"^(https?://)?(www\.)?")

MAIL = Meaning(counterparties=("recipients", "cc", "bcc"))

MEANINGS: dict[str, dict[str, Meaning]] = {
    "banking": {
        "read_file": Meaning(resources=("file_path",)),
        "schedule_transaction": Meaning(counterparties=("recipient",), amount="amount", personal=True),
        "send_money": Meaning(counterparties=("recipient",), amount="amount", personal=True),
        "update_scheduled_transaction": Meaning(
            counterparties=("recipient",), resources=("id",), amount="amount", personal=True
        ),
    },
    "slack": {
        "add_user_to_channel": Meaning(counterparties=("user",), resources=("channel",)),
        "get_webpage": Meaning(counterparties=("url",)),
        "invite_user_to_slack": Meaning(counterparties=("user", "user_email")),
        "post_webpage": Meaning(counterparties=("url",)),
        "read_channel_messages": Meaning(resources=("channel",)),
        "read_inbox": Meaning(resources=("user",)),
        "remove_user_from_slack": Meaning(counterparties=("user",)),
        "send_channel_message": Meaning(counterparties=("channel",)),
        "send_direct_message": Meaning(counterparties=("recipient",)),
    },
    "travel": {
        "cancel_calendar_event": Meaning(resources=("event_id",)),
        "create_calendar_event": Meaning(counterparties=("participants",)),
        "reserve_car_rental": Meaning(counterparties=("company",)),
        "reserve_hotel": Meaning(counterparties=("hotel",)),
        "reserve_restaurant": Meaning(counterparties=("restaurant",)),
        "send_email": MAIL,
    },
    "workspace": {
        "add_calendar_event_participants": Meaning(counterparties=("participants",), resources=("event_id",)),
        "append_to_file": Meaning(resources=("file_id",)),
        "cancel_calendar_event": Meaning(resources=("event_id",)),
        "create_calendar_event": Meaning(counterparties=("participants",)),
        "delete_email": Meaning(resources=("email_id",)),
        "delete_file": Meaning(resources=("file_id",)),
        "reschedule_calendar_event": Meaning(resources=("event_id",)),
        "send_email": MAIL,
        "share_file": Meaning(counterparties=("email",), resources=("file_id",)),
    },
}
