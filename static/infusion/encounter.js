// A second tap on a saving button waits for the first. The page works without this file: the server knows a repetition.
(() => {
  "use strict";

  const saving = /^(save|hand-over|keep-\d+)$/;
  let busy = null;

  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (event.target.id !== "encounter-form" || !button || !saving.test(button.value)) return;
    if (busy) {
      event.preventDefault();
      return;
    }
    busy = { button, words: button.textContent };
    button.textContent = "Saving…";
    // A form that is saved for the first time gets an address of its own, so that going back leads to what it became.
    const { client_id: id, version } = event.target.elements;
    if (version.value === "0") history.replaceState(null, "", `${event.target.getAttribute("action")}?copy=${id.value}`);
  });

  // While a button has the form drawn anew, nothing can be typed into the one that goes. An answer that does not come gives
  // it back as it was.
  const LONGEST_WAIT = 15_000;
  const drawsAnew = (event) => event.detail.target?.id === "encounter-page";
  let focused = null;

  document.addEventListener("htmx:configRequest", (event) => {
    if (drawsAnew(event)) event.detail.timeout = LONGEST_WAIT;
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (!drawsAnew(event)) return;
    focused = document.activeElement;
    document.getElementById("encounter-form").inert = true;
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (!drawsAnew(event)) return;
    document.getElementById("encounter-form").inert = false;
    if (document.activeElement === document.body && focused?.isConnected) focused.focus({ preventScroll: true });
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (!drawsAnew(event) || document.activeElement !== document.body || !focused?.id) return;
    document.getElementById(focused.id)?.focus({ preventScroll: true });
  });

  // The back button brings the page as it was left.
  window.addEventListener("pageshow", () => {
    if (busy) busy.button.textContent = busy.words;
    busy = null;
  });
})();
