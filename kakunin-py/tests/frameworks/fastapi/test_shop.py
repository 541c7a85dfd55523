"""The example of a service that demands proof, and the agent that pays there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from asking import OWN, PAYMENTS

EXAMPLES = Path(__file__).parents[4] / "examples" / "python" / "gateway"


def test_the_buyer_pays_at_the_shop_what_it_may(home):
    _, ours = home.create(OWN)
    _, directory = home.create(PAYMENTS)
    command = [sys.executable, EXAMPLES / "shop.py", ours]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as shop:
        url = shop.stdout.readline().strip()
        payments = ["12.50", "acme", "12500.00", "acme", "1.00", "initech", "1.005", "acme"]
        command = [sys.executable, EXAMPLES / "buyer.py", url, directory, *payments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        shop.terminate()
    assert done.stdout.splitlines() == [
        "200 paid", "403 scope.amount", "403 scope.counterparty", "403 request.amount_invalid",
    ], done.stderr  # fmt: skip
