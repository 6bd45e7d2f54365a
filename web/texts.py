"""Every English sentence of the checkout page, in one place, for translation later.

Braces are filled in by `str.format`; what is filled in is escaped by the templates.
"""

from __future__ import annotations

from typing import Final

from web.stages import Stage

TITLE: Final = {
    Stage.WAITING: "Waiting for your payment",
    Stage.PARTIAL: "Part of it has arrived",
    Stage.CLOSING: "Time is up",
    Stage.CONFIRMING: "Payment seen",
    Stage.PAID: "Paid",
    Stage.EXPIRED: "This invoice has expired",
    Stage.EXPIRED_PARTIAL: "Expired, with a part paid",
    Stage.LATE: "Your payment came late",
    Stage.REVERSED: "The network took the payment back",
    Stage.INVALID: "This payment did not succeed",
    Stage.CANCELLED: "This invoice was cancelled",
}

EXPLANATION: Final = {
    Stage.WAITING: "This page notices your payment by itself, usually within seconds.",
    Stage.PARTIAL: "{paid} of {amount} received. Please send the rest before the time is up.",
    Stage.CLOSING: (
        "Please do not send anything now. If you paid in time, your payment still counts: "
        "we are checking the last blocks."
    ),
    Stage.CONFIRMING: (
        "The network is confirming it. There is nothing left to do, and you may close this page."
    ),
    Stage.PAID: "{merchant} has received {amount}. Thank you.",
    Stage.EXPIRED: (
        "Nothing was received in time. Please do not pay to its address any more: go back to "
        "{merchant} for a new invoice."
    ),
    Stage.EXPIRED_PARTIAL: (
        "{paid} of {amount} arrived in time. Your money was received and {merchant} has been told. "
        "Please contact them to finish the order or to get it back."
    ),
    Stage.LATE: (
        "It arrived after this invoice had expired. Your money was received and {merchant} has "
        "been told. Please contact them to finish the order or to get it back."
    ),
    Stage.REVERSED: (
        "Blocks of the network were replaced and your payment is no longer part of it. It often "
        "comes back within minutes. {merchant} has been told."
    ),
    Stage.INVALID: (
        "No payment for this invoice stands on the network. Please contact {merchant} if you "
        "believe that you paid."
    ),
    Stage.CANCELLED: "{merchant} cancelled it. Please do not pay to its address any more.",
}

# In place of the explanation above, where the exception changes what is to be said.
REVERSED_PAY_AGAIN: Final = (
    "Blocks of the network were replaced and your payment is no longer part of it. It often comes "
    "back within minutes; if your wallet says that it failed, you can pay again below."
)
REVERSED_CONFIRMING: Final = (
    "The network had taken your payment back. It is there again and being confirmed anew."
)
INVALID_MARKED: Final = "{merchant} marked this invoice as not paid. Please contact them."
PAID_MARKED: Final = "{merchant} has accepted your payment. Thank you."

NOTE_OVERPAID: Final = (
    "You sent more than was asked for. The rest is safe with {merchant}, who can pay it back: "
    "please contact them."
)
NOTE_LATE_EXTRA: Final = (
    "A further payment came after the invoice had expired. {merchant} has been told and can pay it "
    "back."
)
NOTE_CANCELLED: Final = (
    "Your money was received and {merchant} has been told. Please contact them to get it back."
)

CONFIRMATIONS: Final = "{done} of {required} confirmations"
UNTIL: Final = {
    "safe": "Waiting until the network calls it safe",
    "finalized": "Waiting until the network calls it final",
}
ABOUT_SECONDS: Final = "usually about {n} seconds more"
ABOUT_MINUTES: Final = "usually about {n} minutes more"

# A deposit, in the list of payments.
SEEN: Final = "Seen"
CONFIRMED: Final = "Confirmed"
ORPHANED: Final = "Taken back by the network"
WAITING_FOR: Final = {
    "second_endpoint": "Being checked with a second node",
    "screening": "Being reviewed",
}
INBOX: Final = {
    "late": "Came after the time was up",
    "partial": "Less than was asked for",
    "overpaid": "More than was asked for",
    "unexpected_asset": "Not an asset that this invoice asked for: {merchant} has been told",
    "unexpected_network": "Not a network that this invoice asked for: {merchant} has been told",
    "held": "Being reviewed by {merchant}",
    "dust": "Too small to count",
}

# What became of a refund: by the API's status, `asked` before the shop has confirmed it.
REFUND: Final = {
    "asked": "You asked for {amount} {asset} back, to {address}. {merchant} has been told.",
    "requested": "{amount} {asset} is going back to {address}.",
    "held": "{amount} {asset} is going back to {address}: it is being checked.",
    "approved": "{amount} {asset} is going back to {address}.",
    "sending": "{amount} {asset} is on its way back to {address}.",
    "paid": "{amount} {asset} was sent back to {address}.",
}

# Why a payer's address was not taken, by the refusal's code.
REFUSED_ADDRESS: Final = {
    "not_an_address": "An address is 0x and 40 characters of 0-9 and a-f.",
    "wrong_checksum": "There is a typing mistake in this address. Please copy it once more.",
    "own_address": "This is the address that you paid to. Please name one of your own.",
    "looks_like_recent": "This address imitates another one. Please copy it from your wallet.",
    "nothing_refundable": "There is nothing left that could go back.",
    "other": "Money that is sent to this address would be lost. Please name one of your own.",
}

PAGE: Final = {
    "pay_to": "Pay to",
    "reference": "Order",
    "invoice": "Invoice",
    "choose": "How would you like to pay?",
    "on_network": "on {network}",
    "amount": "Amount",
    "amount_rest": "Amount still to pay",
    "address": "Address",
    "network": "Network",
    "copy_amount": "Copy amount",
    "copy_address": "Copy address",
    "copy_transaction": "Copy transaction hash",
    "copy": "Copy",
    "copied": "Copied",
    "copy_failed": "Please select and copy by hand",
    "send_only": "Send only {asset}, and only on {network}.",
    "send_exactly": "Other coins and networks are not credited to this order.",
    "open_wallet": "Open in wallet",
    "qr_kind": "What the QR code holds",
    "qr_full": "With amount",
    "qr_address": "Address only",
    "qr_full_hint": (
        "Check that your wallet shows {amount} {asset} on {network}. If it does not, use the code "
        "with the address only."
    ),
    "qr_address_hint": "Choose {asset} on {network} in your wallet and type {amount} yourself.",
    "qr_full_alt": "QR code: pay {amount} {asset} on {network} to {address}",
    "qr_address_alt": "QR code: the address {address}",
    "rate": "1 {asset} {rate} {currency}",
    "rate_source": "{source}, {age} s old when locked for you",
    "rate_locked": "locked for you until this invoice expires",
    "pay_before": "Pay before {time} UTC",
    "time_left": "left to pay",
    "reload": "Check for my payment",
    "no_script": "This page does not update by itself in your browser.",
    "payments": "Payments",
    "refund_title": "Your money back",
    "refund_text": (
        "Part of what you sent does not belong to this order. Name an address of yours, and "
        "{merchant} can send it back."
    ),
    "refund_again": "A new address replaces the one before, until {merchant} has sent it.",
    "refund_address": "Your address, on the network that you paid on",
    "refund_submit": "Ask for it back",
    "back": "Return to {merchant}",
    "reconnecting": "Connection lost. Trying again…",
    "footer": "Checkout by Bezant",
    "missing_title": "We cannot find this invoice",
    "missing_text": (
        "The link may be incomplete or mistyped. Please go back to the shop and open it once more. "
        "Nothing was charged."
    ),
    "busy_title": "One moment, please",
    "busy_text": "There were too many requests from your address. Try again in a few seconds.",
}

# What the page's script says while a wallet of the browser pays; the last ones are why it cannot,
# by the server's code. Braces are filled in by the script.
WALLET: Final = {
    "pay_with": "Pay with {wallet}",
    "connecting": "Please connect your wallet.",
    "switching": "Please let your wallet change to {name}.",
    "quoting": "Preparing your payment…",
    "signing": "Please sign the payment in your wallet. It costs no network fee.",
    "approving": "Please allow the payment of {asset} in your wallet.",
    "confirm_in_wallet": "Please confirm the payment in your wallet.",
    "relaying": "Signed. We are sending your payment: this page shows it within seconds.",
    "sent": "Sent. This page shows your payment within seconds.",
    "not_relayed": "Your wallet has to send this payment itself: please go on there.",
    "rejected": "You declined in your wallet. Nothing was paid.",
    "no_account": "Your wallet showed no account.",
    "wrong_network": "Your wallet is on another network. Please change it to {name}.",
    "unknown_network": "Your wallet does not know {name}. Please add it there first.",
    "insufficient": "There is not enough {asset} in this account on {name}.",
    "failed_on_chain": "The network refused this payment. Nothing was paid: please try again.",
    "failed": "Your wallet could not do it. Please try again, or pay to the address.",
    "no_answer": "This takes longer than it should. Please try again, or pay to the address.",
    "no_quote": "This way of paying is not available now. Please pay to the address.",
    "invoice_not_payable": "Nothing is to be paid any more.",
    "amount_changed": "A payment came meanwhile. Please look at the amount and try again.",
    "quote_expired": "That took too long. Please try again.",
    "expired": "That took too long. Please try again.",
}

SOURCES: Final = {"chainlink": "Chainlink"}
