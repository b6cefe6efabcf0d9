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

  // The back button brings the page as it was left.
  window.addEventListener("pageshow", () => {
    if (busy) busy.button.textContent = busy.words;
    busy = null;
  });
})();
