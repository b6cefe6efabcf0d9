// Keys and ticks of the worklist. The page does all of it without this file too, with the mouse and with Tab.
(() => {
  "use strict";

  // A selection that takes longer than one press goes on by itself.
  const onward = document.querySelector("form[data-go-on]");
  if (onward) {
    onward.requestSubmit(onward.querySelector("button[value=go]"));
    return;
  }

  const form = document.getElementById("choose");
  const table = form && form.querySelector("table.choosing");
  const reader = document.querySelector("table.worklist.desk");
  const told = document.querySelector("[data-said]");
  const help = document.getElementById("keys");
  const search = document.getElementById("search");
  const off = !help || help.querySelector("button[name=on]")?.value === "yes";
  const rows = reader ? [...reader.tBodies[0].rows] : [];
  let here = -1;

  const say = (text) => {
    told.textContent = text;
  };

  // Ticks -------------------------------------------------------------------------------------------------------------
  const boxes = table ? [...table.querySelectorAll("input[name=chosen]")] : [];
  const all = table && table.querySelector("[data-all]");
  const everything = form && form.querySelector("input[name=everything]");
  const count = form && form.querySelector("[data-selected]");
  const total = form ? form.dataset.total : "";

  const tell = () => {
    if (!count) return;
    const ticked = boxes.filter((box) => box.checked).length;
    const whole = everything && everything.checked;
    const full = ticked > 0 && ticked === boxes.filter((box) => !box.disabled).length;
    all.checked = full;
    all.indeterminate = ticked > 0 && !full;
    count.textContent = whole
      ? `All ${total} that match are selected.`
      : ticked
        ? `${ticked} selected.${full && everything ? ` Select all ${total} that match?` : ""}`
        : "";
    form.classList.toggle("some", ticked > 0 || Boolean(whole));
    if (everything) everything.closest("label").hidden = !(full || whole);
  };
  if (table) {
    all.hidden = false;
    all.addEventListener("change", () => {
      for (const box of boxes) if (!box.disabled) box.checked = all.checked;
      if (everything) everything.checked = false;
      tell();
    });
    if (everything) {
      everything.addEventListener("change", () => {
        for (const box of boxes) if (!box.disabled) box.checked = true;
        tell();
      });
    }
    for (const box of boxes) {
      box.addEventListener("change", () => {
        if (everything) everything.checked = false;
        tell();
      });
    }
    tell();
  }

  // Keys --------------------------------------------------------------------------------------------------------------
  const move = (to) => {
    if (!rows.length) return;
    rows[here]?.classList.remove("here");
    here = Math.max(0, Math.min(rows.length - 1, to));
    rows[here].classList.add("here");
    const link = rows[here].querySelector(".reference a");
    link.focus({ preventScroll: true });
    rows[here].scrollIntoView({ block: "nearest" });
  };

  const referenceOf = (row) => row.querySelector(".reference a").textContent.trim();

  const post = async (row, what) => {
    const body = new FormData();
    body.set("csrfmiddlewaretoken", form.querySelector("input[name=csrfmiddlewaretoken]").value);
    body.set("version", row.dataset.version);
    body.set("content", row.dataset.content);
    const reply = await fetch(`/encounters/${row.dataset.row}/${what}/`, {
      method: "POST",
      body,
      headers: { "HX-Request": "true" },
    });
    if (reply.status !== 200 && reply.status !== 409) throw new Error(String(reply.status));
    return { done: reply.ok, ...(await reply.json()) };
  };

  const mark = (row, state, back) => {
    const standing = row.querySelector(".standing");
    standing.querySelectorAll(".state, button").forEach((part) => part.remove());
    const sign = document.createElement("span");
    sign.className = back ? "state ok fresh" : "state sent";
    sign.textContent = state;
    standing.prepend(sign);
    const box = row.querySelector("input[name=chosen]");
    box.checked = false;
    box.disabled = back;
    if (back) {
      const undo = document.createElement("button");
      undo.type = "button";
      undo.className = "btn btn-plain btn-undo";
      undo.textContent = "Take it back";
      undo.setAttribute("aria-label", `Take the approval of ${referenceOf(row)} back`);
      undo.addEventListener("click", () => act(row, "take-back"));
      sign.after(undo);
    }
    tell();
  };

  const busy = new Set();
  const act = async (row, what) => {
    if (busy.has(row)) return;
    busy.add(row);
    try {
      const reply = await post(row, what);
      say(reply.said);
      if (reply.done) {
        row.dataset.version = reply.version;
        row.dataset.unfit = what === "approve-shown" ? "Approved already." : "";
        mark(row, reply.state, what === "approve-shown");
      }
    } catch {
      say(`${referenceOf(row)}: the server did not answer, so nothing is certain. Load the list again.`);
    } finally {
      busy.delete(row);
    }
  };

  const approve = () => {
    if (!table) return;
    if (boxes.some((box) => box.checked) || (everything && everything.checked)) {
      form.requestSubmit(form.querySelector("button[value=approve]"));
      return;
    }
    if (here < 0) {
      say("No encounter is chosen yet. Press j to go to the first one.");
      return;
    }
    const row = rows[here];
    if (row.dataset.unfit) {
      say(`${referenceOf(row)} is not approved. ${row.dataset.unfit}`);
      return;
    }
    act(row, "approve-shown");
    if (here < rows.length - 1) move(here + 1);
  };

  const keys = {
    "/": () => search?.select() ?? search?.focus(),
    "?": () => {
      help.open = !help.open;
      help.querySelector("summary").focus();
      help.scrollIntoView({ block: "nearest" });
    },
    j: () => move(here + 1),
    k: () => move(here - 1),
    e: () => rows[here]?.querySelector(".reference a").click(),
    x: () => {
      const box = rows[here]?.querySelector("input[name=chosen]");
      if (box && !box.disabled) box.click();
    },
    a: approve,
  };

  const typing = (target) =>
    target.closest("textarea, select, [contenteditable]") ||
    (target.matches("input") && !["checkbox", "radio", "submit", "button"].includes(target.type));

  document.addEventListener("keydown", (event) => {
    if (off || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (!(event.target instanceof Element) || typing(event.target) || event.target.closest("dialog[open]")) return;
    const key = keys[event.key];
    if (!key) return;
    event.preventDefault();
    key();
  });

  // Whoever tabs or clicks into a row goes on from there.
  reader?.addEventListener("focusin", (event) => {
    const row = event.target.closest("tbody tr");
    if (!row) return;
    rows[here]?.classList.remove("here");
    here = rows.indexOf(row);
    row.classList.add("here");
  });
})();
