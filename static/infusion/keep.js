// Keeps what is typed also when the page is left. Without this file a form is kept a few seconds after the last key.
(() => {
  "use strict";

  const form = () => document.getElementById("encounter-form");
  const keeper = () => document.getElementById("kept");
  const saving = /^(save|hand-over|keep-\d+|take-theirs)$/;
  const carried = new WeakMap(); // how much was typed when a request was sent
  let typed = 0;
  let kept = 0; // how much of it the server has said that it keeps
  let onItsWay = { upTo: 0, done: Promise.resolve() };
  let left = false;
  let switching = false;

  const isUnkept = () => typed > kept;

  // An answer counts only where it says that nothing is left to be kept: a page of another kind says nothing.
  const post = async (upTo) => {
    // Of an answer to billing also that it was emptied is told: one that is not sent stays as it is stored.
    const body = new URLSearchParams([...new FormData(form())].filter(([name, value]) => value !== "" || name.startsWith("answer-")));
    try {
      const answer = await fetch(keeper().getAttribute("hx-post"), { method: "POST", body, keepalive: true, headers: { "X-Idle": "1" } });
      if (answer.ok && answer.headers.has("X-Kept")) kept = Math.max(kept, upTo);
    } catch {
      // Without a network it stays to be kept.
    }
    if (onItsWay.upTo === upTo) onItsWay.upTo = 0;
  };

  const send = () => {
    if (isUnkept() && typed > onItsWay.upTo && !left && form() && keeper()) onItsWay = { upTo: typed, done: post(typed) };
    return onItsWay.done;
  };

  document.addEventListener("input", (event) => {
    if (event.target.closest("#encounter-form")) typed += 1;
  });

  // A key pressed while a request is on its way is not in it.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.target === keeper()) carried.set(event.detail.xhr, typed);
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const { xhr, successful } = event.detail;
    if (carried.has(xhr) && successful && xhr.getResponseHeader("X-Kept")) kept = Math.max(kept, carried.get(xhr));
  });

  // A button that adds or removes a part draws the form anew, and what waits to be kept with it.
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target.id !== "encounter-page" || !window.htmx) return;
    typed += 1;
    window.htmx.trigger(keeper(), "keep");
  });

  document.addEventListener("submit", (event) => {
    if (event.target !== form() || event.defaultPrevented) return;
    left = Boolean(event.submitter && saving.test(event.submitter.value));
  });

  // Whoever leaves the tablet to the next person is signed out only once all is kept, or could not be.
  document.getElementById("switch-form")?.addEventListener("submit", async (event) => {
    if (switching || !isUnkept() || !form()) return;
    event.preventDefault();
    await send();
    switching = true;
    event.target.requestSubmit(); // told to every listener, as the press was
  });

  document.addEventListener("infusion:keep", send);
  window.addEventListener("pagehide", send);
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") send();
  });
  window.addEventListener("pageshow", () => {
    left = false;
    switching = false;
  });
})();
