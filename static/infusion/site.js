// Only what neither HTML nor htmx can do. Every page works without this file.
(() => {
  "use strict";

  const form = () => document.getElementById("encounter-form");
  const marksAGroup = /-(drug|start|size|amount)$/;

  // A shorter address: an empty field says nothing, except the first one of a group, which says that the group is there.
  // What is sent while someone types presses no button, although htmx would name the one that has the focus.
  document.addEventListener("htmx:configRequest", (event) => {
    const { parameters, elt } = event.detail;
    if (!elt.closest("#encounter-form")) return;
    unsent = false;
    if (elt === form()) {
      sent = { ...parameters };
      delete parameters.act;
    }
    for (const [name, value] of Object.entries(parameters)) {
      if (value === "" && !marksAGroup.test(name)) delete parameters[name];
    }
  });

  // A button draws the form anew, with its preview. It may have to wait for an answer that is on its way, and what is
  // only typed meanwhile must not take its place in the queue.
  let pressed = null;
  document.addEventListener("htmx:confirm", (event) => {
    const { elt } = event.detail;
    if (!elt.closest("#encounter-form")) return;
    if (elt.matches("button[name=act]")) pressed = elt;
    else if (pressed && pressed.isConnected) event.preventDefault();
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.elt === pressed) pressed = null;
  });

  // Whoever goes on by key need not wait for the pause between two keys. A press of the mouse does wait: what it is
  // pressed on may be drawn anew by the answer.
  let unsent = false;
  document.addEventListener("input", (event) => {
    if (!event.target.closest("#encounter-form")) return;
    unsent = true;
    // The word "now", typed anew, means the time at which it is; and what was asked about half a time, nobody asks now.
    const note = document.getElementById(`${event.target.id}-note`);
    for (const stale of note?.querySelectorAll("[name$=-now], .question, .answers") ?? []) stale.remove();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Tab" && unsent && event.target.closest("#encounter-form")) form().dispatchEvent(new Event("left"));
  });

  // What is said of half a time comes too late once the rest of it is typed: its buttons would take the focus.
  let sent = {};
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const field = document.activeElement;
    if (event.detail.target.id !== `${field.id}-note`) return;
    if (field.name in sent && field.value !== sent[field.name]) event.detail.shouldSwap = false;
  });

  // The vial sizes of a drug arrive while a size may already be chosen: the choice stays.
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const { target, fragment } = event.detail;
    if (target.tagName !== "SELECT") return;
    if (target === document.activeElement) {
      event.detail.shouldSwap = false;
      return;
    }
    const incoming = fragment.querySelector("select");
    if (!incoming || !target.value) return;
    const same = [...incoming.options].find((option) => option.value === target.value);
    if (same) same.selected = true;
  });

  // A field whose error is gone is no longer marked.
  document.addEventListener("htmx:afterSettle", () => {
    for (const field of document.querySelectorAll("[aria-invalid=true]")) {
      const note = document.getElementById(`${field.id}-note`);
      if (note && !note.querySelector(".wrong-text")) field.removeAttribute("aria-invalid");
    }
    if (!document.getElementById("error-summary")) document.title = document.title.replace(/^Error: /, "");
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    if (!event.target.closest("#encounter-form, #conflict")) return;
    event.preventDefault();
    form().requestSubmit(document.getElementById("update"));
  });

  // An answer in the summary or in the preview leads into its field, also inside a closed part of the form.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    const field = link && document.getElementById(decodeURIComponent(link.hash.slice(1)));
    if (!field || !field.matches("input, select, button")) return;
    for (let fold = field.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    event.preventDefault();
    field.focus();
  });

  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a[data-copy]");
    if (!link || !navigator.clipboard) return;
    event.preventDefault();
    history.replaceState(null, "", link.href);
    const told = document.getElementById("copied");
    try {
      await navigator.clipboard.writeText(link.href);
      told.textContent = "Link copied.";
    } catch {
      told.textContent = "The link is now in the address bar.";
    }
  });

  // A part of a page that broke leaves the page as it is, with what is typed in it, and says under which number.
  document.addEventListener("htmx:responseError", (event) => {
    const reference = event.detail.xhr.getResponseHeader("X-Reference");
    if (!reference) return;
    const notice = document.getElementById("broke") || document.createElement("p");
    notice.id = "broke";
    notice.className = "notice bad";
    notice.setAttribute("role", "alert");
    notice.textContent = `Something broke on our side, and this part of the page was not brought up to date. What is typed stays. Reference ${reference}`;
    document.getElementById("main").prepend(notice);
  });
})();
