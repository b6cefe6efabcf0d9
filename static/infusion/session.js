// Warns before a sign-in ends for want of a key or a tap, and leaves the page when it has. The server keeps the time and
// ends the sign-in by itself; this file only tells of it, and every page works without it.
(() => {
  "use strict";

  const body = document.body;
  const dialog = document.getElementById("still-there");
  const limit = Number(body.dataset.idleSeconds) * 1000;
  if (!dialog || !limit) return;

  const WARNED_BEFORE = 75_000;
  const TOLD_EVERY = 30_000;
  const address = body.dataset.sessionUrl;
  let ends = Date.now() + limit;
  let told = Date.now();
  let over = false;
  let going = false;

  const token = () => document.querySelector("[name=csrfmiddlewaretoken]")?.value || "";

  const leave = () => {
    if (over || going) return;
    over = true;
    const form = document.querySelector("#encounter-form [name=client_id]");
    const back = form ? `${location.pathname}?copy=${form.value}` : location.pathname + location.search;
    document.getElementById("main").replaceChildren();
    for (const band of document.querySelectorAll("[aria-label=Patient]")) band.remove();
    dialog.close();
    location.replace(`${body.dataset.signInUrl}?${new URLSearchParams({ ended: "1", next: back })}`);
  };

  // What a timer asks carries the mark that keeps it from counting as a touch.
  const ask = async (touched) => {
    try {
      const answer = await fetch(address, {
        method: touched ? "POST" : "GET",
        redirect: "manual",
        headers: touched ? { "X-CSRFToken": token() } : { "X-Idle": "1" },
      });
      if (answer.status === 401 || answer.type === "opaqueredirect") return leave();
      if (answer.ok) ends = Date.now() + (await answer.json()).seconds_left * 1000;
    } catch {
      // Without a network nobody can be told how long it lasts: the page's own clock stands.
    }
    return undefined;
  };

  const touch = () => {
    if (over || Date.now() >= ends) return;
    if (Date.now() - told < TOLD_EVERY && ends - Date.now() > WARNED_BEFORE) return;
    told = Date.now();
    ends = Date.now() + limit;
    ask(true);
  };

  const say = (left) => {
    const words = document.getElementById("still-there-left");
    const seconds = Math.max(15, Math.ceil(left / 15_000) * 15);
    if (words.textContent !== String(seconds)) words.textContent = String(seconds);
  };

  const tick = async () => {
    if (over) return;
    if (ends - Date.now() <= WARNED_BEFORE && !dialog.open) {
      document.dispatchEvent(new Event("infusion:keep"));
      await ask(false); // another page of the same sign-in may have been touched
    } else if (Date.now() >= ends) {
      await ask(false);
      if (Date.now() >= ends) leave();
    }
    const left = ends - Date.now();
    if (over) return;
    if (left > WARNED_BEFORE) {
      if (dialog.open) dialog.close();
    } else {
      if (!dialog.open) dialog.showModal();
      say(left);
    }
  };

  // Whoever has pressed a button that leads to another page is led by that page: what was asked for just before may find
  // that the sign-in has ended with the press.
  window.addEventListener("submit", (event) => {
    if (!event.defaultPrevented) going = true;
  });
  window.addEventListener("pageshow", () => {
    going = false;
  });

  document.getElementById("stay").addEventListener("click", () => {
    told = 0;
    ends = Math.max(ends, Date.now() + 1);
    touch();
    dialog.close();
  });
  for (const kind of ["keydown", "pointerdown"]) document.addEventListener(kind, touch, { passive: true });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") tick();
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.xhr?.status === 401) leave();
  });
  window.setInterval(tick, 5_000);
})();
