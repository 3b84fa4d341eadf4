// The slider and the exact field of eps: whatever is set acts from the next frame on.

const slider = document.getElementById("slider");
const exact = document.getElementById("exact");
const note = document.getElementById("eps-note");
const error = document.getElementById("eps-error");
const QUIET_MS = 1500; // after the visitor's own change, before the stream's value is shown again

let touchedAt = -Infinity;
let sending = false;
let wanted = null;
let network = null;

const tidy = (value) => String(Number(Number(value).toPrecision(6)));

function inWords(eps) {
  if (!network) return "l2 norm over the whole frame, colours in 0 to 1";
  const [height, width] = network;
  const grey = (eps * 255) / Math.sqrt(3 * height * width);
  const one = Math.round(eps * 255);
  return `l2 norm over the whole ${width}x${height} frame: ${grey.toPrecision(2)} grey levels on every ` +
    `pixel, or ${one > 255 ? "over 255" : one} on one channel of one pixel`;
}

function show(eps) {
  const most = Math.max(1, 2 ** Math.ceil(Math.log2(Math.max(eps, 1e-9))));
  slider.max = Math.max(Number(slider.max), most);
  slider.value = eps;
  slider.setAttribute("aria-valuetext", `${tidy(eps)}, ${inWords(eps)}`);
  if (document.activeElement !== exact) exact.value = tidy(eps);
}

async function send() {
  if (sending) return; // the newest wish is sent when the answer is there
  sending = true;
  while (wanted !== null) {
    const eps = wanted;
    wanted = null;
    try {
      const response = await fetch("/api/eps", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ eps }),
        signal: AbortSignal.timeout(4000),
      });
      error.textContent = response.ok ? "" : await response.text();
    } catch {
      error.textContent = "eps was not changed: no connection.";
    }
  }
  sending = false;
}

function wish(eps) {
  touchedAt = performance.now();
  wanted = eps;
  note.textContent = inWords(eps);
  slider.setAttribute("aria-valuetext", `${tidy(eps)}, ${inWords(eps)}`);
  send();
}

slider.addEventListener("input", () => {
  exact.value = tidy(slider.value);
  wish(Number(slider.value));
});
exact.addEventListener("change", () => {
  if (exact.value === "" || !exact.checkValidity()) {
    error.textContent = "eps is a number, 0 or more.";
    return;
  }
  show(Number(exact.value));
  wish(Number(exact.value));
});
exact.addEventListener("keydown", (event) => {
  if (event.key === "Enter") exact.dispatchEvent(new Event("change"));
});

export function epsFromStream(status) {
  network = status.network ?? network;
  const fixed = status.eps_set === null || status.eps_set === undefined;
  slider.disabled = exact.disabled = fixed;
  const eps = fixed ? status.eps : status.eps_set;
  if (eps === null || eps === undefined || sending || performance.now() - touchedAt < QUIET_MS) return;
  show(eps);
  note.textContent = inWords(eps) + (fixed ? ". Fixed in this run." : "");
}

export function epsUnreachable() {
  slider.disabled = exact.disabled = true;
}
