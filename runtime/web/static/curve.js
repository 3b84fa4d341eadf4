// Curves of the last minutes, drawn by hand: nothing is loaded from elsewhere.

const SECONDS = 300;

// The smallest "round" number that is not below the largest value.
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  return [1, 2, 5, 10].map((k) => k * power).find((k) => k >= value);
}

function prepared(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

// options: key of a sample, variable of the colour, fixed top or least top, unit.
export function drawCurve(canvas, samples, options) {
  const { pen, width, height } = prepared(canvas);
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const values = samples.map((s) => s[options.key]).filter((v) => v !== null);
  const top = options.top ?? roundUp(Math.max(options.leastTop, ...values));
  const left = 56, right = width - 4, high = 8, low = height - 8;
  const end = samples.length ? samples[samples.length - 1].at_s : 0;
  const x = (at) => right - ((end - at) / SECONDS) * (right - left);
  const y = (value) => low - (Math.min(value, top) / top) * (low - high);
  pen.font = "11px system-ui, sans-serif";
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  pen.lineWidth = 1;
  for (const part of [0, 0.5, 1]) {
    const at = Math.round(y(part * top)) + 0.5;
    pen.strokeStyle = colour("--line");
    pen.beginPath();
    pen.moveTo(left, at);
    pen.lineTo(right, at);
    pen.stroke();
    if (part !== 0.5) {
      pen.fillStyle = colour("--dim");
      pen.fillText(`${part * top}${options.unit}`, left - 6, at);
    }
  }
  pen.save();
  pen.beginPath();
  pen.rect(left, 0, right - left, height);
  pen.clip();
  pen.fillStyle = colour("--withheld");
  const wide = Math.max(1.5, (right - left) / SECONDS);
  for (const s of samples) if (s.withheld) pen.fillRect(x(s.at_s) - wide, high, wide + 0.5, low - high);
  pen.strokeStyle = pen.fillStyle = colour(options.colour);
  pen.lineWidth = 2;
  pen.lineJoin = "round";
  pen.beginPath();
  let drawing = false;
  for (const s of samples) {
    const value = s[options.key];
    if (value === null) { drawing = false; continue; } // a gap: nothing was claimed or measured
    if (drawing) pen.lineTo(x(s.at_s), y(value));
    else { pen.moveTo(x(s.at_s) - wide, y(value)); pen.lineTo(x(s.at_s), y(value)); }
    drawing = true;
  }
  pen.stroke();
  pen.restore();
}
