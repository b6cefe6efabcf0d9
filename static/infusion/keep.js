// Keeps what is typed also when the page is left. Without this file a form is kept a few seconds after the last key.
(() => {
  "use strict";

  const form = () => document.getElementById("encounter-form");
  const keeper = () => document.getElementById("kept");
  const saving = /^(save|hand-over|keep-\d+|take-theirs)$/;
  let unkept = false;
  let left = false;
  let switching = false;

  const send = async () => {
    if (!unkept || left || !form() || !keeper()) return;
    unkept = false;
    const body = new URLSearchParams([...new FormData(form())].filter(([name, value]) => value !== "" || name.startsWith("answer-")));
    await fetch(keeper().getAttribute("hx-post"), { method: "POST", body, keepalive: true, headers: { "X-Idle": "1" } }).catch(() => {
      unkept = true;
    });
  };

  document.addEventListener("input", (event) => {
    if (event.target.closest("#encounter-form")) unkept = true;
  });

  // What is sent after the last key carries all that was typed until then.
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.elt === keeper() && event.detail.successful) unkept = false;
  });

  // A button that adds or removes a part draws the form anew, and what waits to be kept with it.
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target.id !== "encounter-page" || !window.htmx) return;
    unkept = true;
    window.htmx.trigger(keeper(), "keep");
  });

  document.addEventListener("submit", (event) => {
    if (event.target !== form() || event.defaultPrevented) return;
    left = Boolean(event.submitter && saving.test(event.submitter.value));
  });

  // Whoever leaves the tablet to the next person is signed out only once all is kept, or could not be.
  document.getElementById("switch-form")?.addEventListener("submit", async (event) => {
    if (switching || !unkept || !form()) return;
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
