"""Every package's tables, so that one metadata knows them all."""

import core.tables
import ledger.tables
import merchants.tables
import payments.payout_tables
import payments.router_tables
import payments.tables
import payments.wallet_tables
import payments.x402_tables
import prices.tables
import prices.venue_tables
import reconciliation.tables
import risk.tables
import treasury.bank_tables
import treasury.conversion_tables
import treasury.export_tables
import treasury.move_tables
import treasury.quote_tables
import treasury.rule_tables
import wallets.sweep_tables
import wallets.tables
import webhooks.tables
from core.db import Base

PACKAGES = (
    core.tables,
    ledger.tables,
    merchants.tables,
    payments.payout_tables,
    payments.router_tables,
    payments.tables,
    payments.wallet_tables,
    payments.x402_tables,
    prices.tables,
    prices.venue_tables,
    reconciliation.tables,
    risk.tables,
    treasury.bank_tables,
    treasury.quote_tables,
    treasury.conversion_tables,
    treasury.export_tables,
    treasury.move_tables,
    treasury.rule_tables,
    wallets.sweep_tables,
    wallets.tables,
    webhooks.tables,
)
METADATA = Base.metadata
