"""A service that pays, as an agent: `KAKUNIN_AGENT_DIR=agents/billing uvicorn fastapi_app:app`.

The leash is this service's own. Whoever calls it is authenticated elsewhere; what they ask for goes no
further than this agent's certificate.
"""

from contextlib import asynccontextmanager
from decimal import Decimal

import kakunin
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from kakunin import Agent, ScopeDenied, verify_agent_scope
from pydantic import BaseModel


class Payment(BaseModel):
    supplier: str
    # Strings keep every digit; pydantic reads a JSON number through its text as well.
    total: Decimal


@asynccontextmanager
async def lifespan(_: FastAPI):
    kakunin.use(Agent.from_env())
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/payments")
@verify_agent_scope("payments:send", amount="payment.total", currency="EUR", counterparty="payment.supplier")
async def send(payment: Payment) -> dict[str, str]:
    return {"paid": str(payment.total), "to": payment.supplier}


@app.exception_handler(ScopeDenied)
async def denied(_: Request, error: ScopeDenied) -> JSONResponse:
    # The caller learns what happened, not where the limit is.
    detail = {"type": "about:blank", "title": error.code, "status": 403, "detail": error.for_model()}
    return JSONResponse(detail, status_code=403, media_type="application/problem+json")
