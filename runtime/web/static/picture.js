// The picture: asked for one at a time, so that a slow connection sees fewer pictures, never old ones.

export const picture = {
  shownAt: -Infinity, // performance.now() of when the stream delivered what is on the canvas
  state: "waiting",
  reason: "",
  arrivals: [],
};

const canvas = document.getElementById("picture");
let seen = "";

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function next() {
  const response = await fetch(`/frame.jpg?after=${seen}`, { signal: AbortSignal.timeout(4000) });
  if (response.status === 204) return;
  if (response.status === 401) location.reload(); // the token is another one now
  if (!response.ok) throw new Error(response.statusText);
  const age = Number(response.headers.get("X-Age-Ms"));
  const bitmap = await createImageBitmap(await response.blob());
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  seen = response.headers.get("X-Picture");
  picture.state = response.headers.get("X-State");
  picture.reason = response.headers.get("X-Reason");
  picture.shownAt = performance.now() - age;
  picture.arrivals.push(performance.now());
  if (picture.arrivals.length > 20) picture.arrivals.shift();
}

export async function watch(changed) {
  for (;;) {
    try {
      if (document.hidden) await pause(300); // a page that nobody sees asks for nothing
      else await next();
    } catch {
      await pause(700);
    }
    changed();
  }
}

export function picturesPerSecond() {
  const times = picture.arrivals;
  const last = performance.now() - 2000;
  const recent = times.filter((t) => t > last);
  return recent.length > 1 ? ((recent.length - 1) * 1000) / (recent[recent.length - 1] - recent[0]) : 0;
}
