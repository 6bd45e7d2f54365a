// "Pay with this wallet": browser wallets that announce themselves (EIP-6963) pay through our router.
// The address and the QR code beside it work without any of this.

const ANSWER_MS = 30_000; // the worker signs within a second
const ASK_MS = 1_000; // and is asked again where events do not come
const RECEIPT_MS = 2_000;
const REJECTED = 4001; // EIP-1193
const UNKNOWN_CHAIN = 4902; // EIP-3085

const wallets = new Map(); // EIP-6963: uuid -> {info, provider}
const heard = new Map(); // what the server's events said last, by id
const said = { slug: null, text: "", kind: "" }; // shown in that option's panel
let busy = false;

class Failed extends Error {}

const texts = JSON.parse(page.dataset.walletTexts);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

// Discovery and what is shown.

window.addEventListener("eip6963:announceProvider", ({ detail }) => {
  if (!detail?.info?.uuid || typeof detail.provider?.request !== "function") return;
  wallets.set(detail.info.uuid, detail);
  drawWallets();
});

function drawWallets() {
  for (const way of page.querySelectorAll("[data-pay-wallet]")) {
    const buttons = [...wallets.values()].map(({ info }) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "button";
      button.dataset.wallet = info.uuid;
      button.disabled = busy;
      button.textContent = fill(texts.pay_with, { wallet: String(info.name).slice(0, 40) });
      return button;
    });
    const told = document.createElement("p");
    told.className = `notice notice-${said.kind || "info"}`;
    told.setAttribute("role", said.kind === "warn" ? "alert" : "status");
    told.textContent = said.slug === way.dataset.payWallet ? said.text : "";
    told.hidden = told.textContent === "";
    const focused = document.activeElement?.dataset?.wallet;
    way.replaceChildren(...buttons, told);
    way.hidden = wallets.size === 0;
    if (focused) way.querySelector(`[data-wallet="${CSS.escape(focused)}"]`)?.focus();
  }
}

function tell(way, text, kind = "info") {
  Object.assign(said, { slug: way.slug, text, kind });
  drawWallets();
}

// The region is replaced when the invoice changes: what was shown in it is drawn again.
new MutationObserver(drawWallets).observe(regions.pay, { childList: true });

// The server: what is asked for is answered by events, or when asked again.

for (const name of ["quote", "authorization"]) {
  page.addEventListener(`bezant:${name}`, ({ detail }) => heard.set(detail.id, detail));
}

async function post(path, body) {
  const answer = await fetch(`${page.dataset.invoice}/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const found = await answer.json();
  if (!answer.ok) throw Object.assign(new Failed(texts[found.code] ?? texts.failed), found);
  return found;
}

// The thing as soon as `ready` says so of it.
async function settle(folder, thing, ready) {
  const until = performance.now() + ANSWER_MS;
  let asked = performance.now();
  for (let found = thing; ; found = heard.get(thing.id) ?? found) {
    if (ready(found)) return found;
    if (performance.now() > until) throw new Failed(texts.no_answer);
    await pause(100);
    if (performance.now() - asked < ASK_MS) continue;
    asked = performance.now();
    const answer = await fetch(`${page.dataset.invoice}/${folder}/${thing.id}`);
    if (answer.ok) heard.set(thing.id, await answer.json());
  }
}

// The payment, step by step; each step can be refused by the wallet's owner.

async function pay(way, provider) {
  tell(way, texts.connecting);
  const [payer] = await provider.request({ method: "eth_requestAccounts" });
  if (!payer) throw new Failed(texts.no_account);
  await useChain(way, provider);
  tell(way, texts.quoting);
  const asked = await post("quote", { asset: way.asset, network: way.network, payer });
  const quote = await settle("quotes", asked, (one) => one.status !== "requested");
  if (quote.status !== "signed") throw new Failed(texts[quote.reason] ?? texts.no_quote);
  await checkFunds(way, provider, quote, payer);
  if (quote.token === null) {
    const data = quoteCall("pay", quote);
    return send(way, provider, { from: payer, to: quote.router, value: quote.quote.amount, data });
  }
  if (quote.methods.includes("authorization") && (await relay(way, provider, quote, payer))) return;
  if (quote.methods.includes("permit") && (await permit(way, provider, quote, payer))) return;
  await approve(way, provider, quote, payer);
}

async function useChain(way, provider) {
  const chainId = await provider.request({ method: "eth_chainId" });
  if (BigInt(chainId) === BigInt(way.chainId)) return;
  tell(way, fill(texts.switching, way));
  const wanted = { chainId: way.chainId };
  try {
    await provider.request({ method: "wallet_switchEthereumChain", params: [wanted] });
  } catch (error) {
    const unknown = (error?.code ?? error?.data?.originalError?.code) === UNKNOWN_CHAIN;
    if (!unknown) throw error;
    if (!way.rpcUrl) throw new Failed(fill(texts.unknown_network, way));
    const coin = { name: way.coin, symbol: way.coin, decimals: Number(way.coinDecimals) };
    const chain = { ...wanted, chainName: way.name, rpcUrls: [way.rpcUrl], nativeCurrency: coin };
    await provider.request({ method: "wallet_addEthereumChain", params: [chain] });
    await provider.request({ method: "wallet_switchEthereumChain", params: [wanted] });
  }
  const now = await provider.request({ method: "eth_chainId" });
  if (BigInt(now) !== BigInt(way.chainId)) throw new Failed(fill(texts.wrong_network, way));
}

async function view(provider, to, name, ...values) {
  const call = { to, data: plainCall(name, ...values) };
  return BigInt(await provider.request({ method: "eth_call", params: [call, "latest"] }));
}

async function checkFunds(way, provider, quote, payer) {
  const held =
    quote.token === null
      ? BigInt(await provider.request({ method: "eth_getBalance", params: [payer, "latest"] }))
      : await view(provider, quote.token, "balanceOf", payer);
  if (held < BigInt(quote.quote.amount)) throw new Failed(fill(texts.insufficient, way));
}

// Signed here, sent by us. False: it cannot be, so the wallet sends it itself.
async function relay(way, provider, quote, payer) {
  tell(way, texts.signing);
  const validBefore = String(BigInt(quote.quote.deadline) + 60n);
  const data = authorizationData(quote, payer, validBefore);
  const signature = await sign(provider, payer, data);
  if (signature === null) return false;
  let asked;
  try {
    asked = await post("authorizations", {
      quote: quote.id, payer, valid_after: "0", valid_before: validBefore, signature,
    });
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    tell(way, texts.not_relayed);
    return false;
  }
  tell(way, texts.relaying);
  const known = await settle("authorizations", asked, (one) => one.status !== "requested");
  if (known.status === "refused" && known.reason !== "quote_paid") {
    tell(way, texts.not_relayed);
    return false;
  }
  followRelay(way, known);
  return true;
}

// Whether it arrived, the page itself shows; only that it will not is said here.
function followRelay(way, known) {
  page.addEventListener("bezant:authorization", function hear({ detail }) {
    if (detail.id !== known.id || detail.status !== "failed") return;
    page.removeEventListener("bezant:authorization", hear);
    tell(way, texts.failed_on_chain, "warn");
  });
}

async function sign(provider, payer, data) {
  try {
    return await provider.request({ method: "eth_signTypedData_v4", params: [payer, data] });
  } catch (error) {
    if (isRejection(error)) throw error;
    return null; // this wallet cannot sign such data
  }
}

async function permit(way, provider, quote, payer) {
  tell(way, texts.signing);
  const nonce = await view(provider, quote.token, "nonces", payer);
  const signature = await sign(provider, payer, permitData(quote, payer, nonce));
  if (signature === null || signature.length !== 132) return false;
  const { v, r, s } = splitSignature(signature);
  const data = quoteCall("payWithPermit", quote, quote.quote.deadline, v, r, s);
  const call = { from: payer, to: quote.router, data };
  try {
    await provider.request({ method: "eth_call", params: [call, "latest"] });
  } catch {
    return false; // a contract's wallet: the token does not take its signature
  }
  await send(way, provider, call);
  return true;
}

async function approve(way, provider, quote, payer) {
  const amount = BigInt(quote.quote.amount);
  const allowed = await view(provider, quote.token, "allowance", payer, quote.router);
  if (allowed < amount) {
    // Tether wants nothing allowed before it lets another amount be allowed.
    for (const value of allowed > 0n ? [0n, amount] : [amount]) {
      tell(way, fill(texts.approving, way));
      const data = plainCall("approve", quote.router, value);
      await mined(provider, await sendOne(provider, { from: payer, to: quote.token, data }));
    }
  }
  await send(way, provider, {
    from: payer, to: quote.router, data: quoteCall("payToken", quote),
  });
}

async function sendOne(provider, { value = "0", ...call }) {
  const params = [{ ...call, value: `0x${BigInt(value).toString(16)}` }];
  return provider.request({ method: "eth_sendTransaction", params });
}

async function send(way, provider, call) {
  tell(way, texts.confirm_in_wallet);
  const hash = await sendOne(provider, call);
  tell(way, texts.sent);
  await mined(provider, hash);
}

// Until the wallet's own node shows it in a block; the page may know it sooner.
async function mined(provider, hash) {
  for (;;) {
    const params = [hash];
    const receipt = await provider.request({ method: "eth_getTransactionReceipt", params });
    if (receipt?.status && BigInt(receipt.status) === 0n) throw new Failed(texts.failed_on_chain);
    if (receipt) return;
    await pause(RECEIPT_MS);
  }
}

const isRejection = (error) => error?.code === REJECTED || error?.code === "ACTION_REJECTED";

page.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-wallet]");
  const section = button?.closest("[data-pay-wallet]");
  const wallet = wallets.get(button?.dataset.wallet);
  if (!section || !wallet || busy) return;
  const way = { ...section.dataset, slug: section.dataset.payWallet };
  busy = true;
  try {
    await pay(way, wallet.provider);
  } catch (error) {
    if (isRejection(error)) tell(way, texts.rejected, "warn");
    else tell(way, error instanceof Failed ? error.message : texts.failed, "warn");
  } finally {
    busy = false;
    drawWallets();
  }
});

window.dispatchEvent(new Event("eip6963:requestProvider"));
