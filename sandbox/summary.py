"""Everything that a ready-file says (API 3)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sandbox import contracts
from wallets.addresses import checksum

if TYPE_CHECKING:
    from sandbox.supervisor import Supervisor


def summary(sandbox: Supervisor) -> dict[str, Any]:
    """How to reach it; pids as they are now."""
    kept, database, services = sandbox.state, sandbox.postgres.child, sandbox.services
    return {
        "api_url": services.api_url,
        "api_key": kept.api_key,
        "operator_key": kept.operator_key,
        "approver_key": "0x" + kept.approver_key,
        "database_url": sandbox.postgres.url,
        "networks": [
            {
                "network": chain.id,
                "chain_id": chain.chain_id,
                "rpc_url": chain.url,
                "ws_url": chain.push_url,
                "tokens": {symbol: checksum(a) for symbol, a in chain.tokens.items()},
                "factory": checksum(chain.factory),
                "router": checksum(chain.router),
                "multisend": checksum(chain.multisend),
                "sanctions_oracle": checksum(chain.sanctions_oracle),
                "feeds": {pair: checksum(a) for pair, a in chain.feeds.items()},
                "treasury": checksum(chain.treasury),
                "multicall": checksum(contracts.MULTICALL),
                "payer": checksum(contracts.payer()),
            }
            for chain in sandbox.chains
        ],
        "exchanges": sandbox.simulators.summary(kept),
        "pids": {
            "sandbox": os.getpid(),
            "api": services.api.pid,
            "worker": services.worker.pid,
            "signer": services.signer.pid,
            "postgres": database.pid if database else None,
            "anvil": [anvil.child.pid for anvil in sandbox.anvils],
            "simulators": sandbox.simulators.child.pid,
        },
        "merchant": kept.merchant_id,
        "webhook_secret": kept.webhook_secret,
        "checkout_url": f"{services.api_url}/pay/",
        "worker_metrics_url": services.metrics_url,
        "data_dir": str(sandbox.options.data_dir),
    }
