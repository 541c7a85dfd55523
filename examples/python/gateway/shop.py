"""A service that lets agents pay, and nobody else: `python shop.py agents/shop`.

It prints its URL when it is ready. `agents/shop` is its own agent's directory, of the authority that
certifies the agents that call: what it decides about them is in its journal. `buyer.py` is one of them.
"""

import socket
import sys

import uvicorn
from fastapi import Depends, FastAPI
from kakunin import Agent
from kakunin.gateway import Caller, Gateway
from kakunin.gateway.fastapi import AgentMiddleware, require_agent
from pydantic import BaseModel


class Payment(BaseModel):
    amount: str
    iban: str


listening = socket.create_server(("127.0.0.1", 0))
address = f"127.0.0.1:{listening.getsockname()[1]}"
gateway = Gateway(Agent.from_dir(sys.argv[1]), names=[address])

app = FastAPI()
app.add_middleware(AgentMiddleware, gateway=gateway)
may_pay = Depends(require_agent("payments:send", amount="amount", currency="EUR", counterparty="iban"))


@app.post("/pay")
def pay(payment: Payment, caller: Caller = may_pay) -> dict[str, str]:
    return {"paid": payment.amount, "to": payment.iban, "by": caller.agent_id}


if __name__ == "__main__":
    print(f"http://{address}", flush=True)
    uvicorn.run(app, fd=listening.fileno(), log_level="warning")
