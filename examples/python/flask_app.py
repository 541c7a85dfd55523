"""A service that pays, as an agent: `KAKUNIN_AGENT_DIR=agents/billing flask --app flask_app run`."""

from decimal import Decimal

import kakunin
from flask import Flask, Response, json, request
from kakunin import Agent, ScopeDenied, verify_agent_scope


@verify_agent_scope("payments:send", amount="total", currency="EUR", counterparty="supplier")
def pay(supplier: str, total: str) -> dict[str, str]:
    return {"paid": total, "to": supplier}


def create_app() -> Flask:
    kakunin.use(Agent.from_env())
    app = Flask(__name__)

    @app.post("/payments")
    def send() -> dict[str, str]:
        # A JSON number would be a float; `parse_float` keeps what was written.
        payment = json.loads(request.get_data(), parse_float=Decimal)
        return pay(payment.get("supplier"), payment.get("total"))

    @app.errorhandler(ScopeDenied)
    def denied(error: ScopeDenied) -> Response:
        # The caller learns what happened, not where the limit is.
        detail = {"type": "about:blank", "title": error.code, "status": 403, "detail": error.for_model()}
        return Response(json.dumps(detail), 403, content_type="application/problem+json")

    return app
