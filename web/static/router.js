// What a wallet is asked to sign or to send: the words of our router's calls (IPaymentRouter.sol).
// Amounts are BigInt or decimal text in base units, everything else is 0x text.

const SELECTOR = {
  pay: "0xb4757f42",
  payToken: "0x4932f0c9",
  payWithPermit: "0x40dfacac",
  approve: "0x095ea7b3",
  allowance: "0xdd62ed3e",
  balanceOf: "0x70a08231",
  nonces: "0x7ecebe00",
};

const word = (value) => BigInt(value).toString(16).padStart(64, "0");
const plainCall = (name, ...values) => SELECTOR[name] + values.map(word).join("");

// A call with a quote and its signature; `more` are the words of a struct behind them.
function quoteCall(name, { quote, signature }, ...more) {
  const struct = [quote.invoice, quote.asset, quote.amount, quote.deadline, quote.nonce];
  const offset = (struct.length + 1 + more.length) * 32;
  const bytes = signature.slice(2);
  const padded = bytes.padEnd(Math.ceil(bytes.length / 64) * 64, "0");
  return plainCall(name, ...struct, offset, ...more, bytes.length / 2) + padded;
}

function splitSignature(signature) {
  const v = Number.parseInt(signature.slice(130, 132), 16);
  return { r: signature.slice(0, 66), s: `0x${signature.slice(66, 130)}`, v: v < 27 ? v + 27 : v };
}

// EIP-712 as eth_signTypedData_v4 takes it, in the token's own domain.
function typedData(quote, primaryType, fields, message) {
  const domain = { ...quote.domain, chainId: quote.chain_id, verifyingContract: quote.token };
  const types = {
    EIP712Domain: [
      { name: "name", type: "string" },
      { name: "version", type: "string" },
      { name: "chainId", type: "uint256" },
      { name: "verifyingContract", type: "address" },
    ],
    [primaryType]: fields.map(([name, type]) => ({ name, type })),
  };
  return JSON.stringify({ domain, types, primaryType, message });
}

// EIP-3009: only the router can use it, and only for this quote, whose hash is its nonce.
function authorizationData(quote, payer, validBefore) {
  const fields = [
    ["from", "address"], ["to", "address"], ["value", "uint256"],
    ["validAfter", "uint256"], ["validBefore", "uint256"], ["nonce", "bytes32"],
  ];
  return typedData(quote, "ReceiveWithAuthorization", fields, {
    from: payer, to: quote.router, value: quote.quote.amount,
    validAfter: "0", validBefore, nonce: quote.quote_hash,
  });
}

// EIP-2612, over exactly the quote's amount.
function permitData(quote, payer, nonce) {
  const fields = [
    ["owner", "address"], ["spender", "address"], ["value", "uint256"],
    ["nonce", "uint256"], ["deadline", "uint256"],
  ];
  return typedData(quote, "Permit", fields, {
    owner: payer, spender: quote.router, value: quote.quote.amount,
    nonce: String(nonce), deadline: quote.quote.deadline,
  });
}
