// Ticks the clocks, says when the tablet's own clock is wrong, and keeps a page from renewing itself under a hand.
// Without this file the page is right as of when it was loaded, and every button works.
(() => {
  "use strict";

  const OFF_BY = 120000;
  let clinic = null; // the clinic's time at the moment `since` of this page's own steady clock
  let clock = null;

  const words = (minutes) =>
    minutes < 60 ? `${minutes}\u00a0min` : `${Math.floor(minutes / 60)}\u00a0h ${String(minutes % 60).padStart(2, "0")}\u00a0min`;
  const time = (moment, zone) =>
    new Intl.DateTimeFormat("en-US", { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: zone }).format(moment);
  const passed = (since) => performance.now() - since;

  // The board beside an encounter may be longer than its place.
  function showCurrent() {
    const tile = document.querySelector(".tile[aria-current]");
    const list = tile && tile.closest(".tiles");
    if (!list) return;
    list.scrollTop = tile.offsetParent === list ? tile.offsetTop - (list.clientHeight - tile.offsetHeight) / 2 : 0;
    list.scrollLeft = tile.offsetParent === list ? tile.offsetLeft - (list.clientWidth - tile.offsetWidth) / 2 : 0;
  }

  function learn() {
    showCurrent();
    const told = [...document.querySelectorAll("[data-server-now]")].map((each) => Date.parse(each.dataset.serverNow));
    const latest = Math.max(...told);
    if (!clinic || latest > clinic.latest) clinic = { latest, since: performance.now() };
    const running = document.querySelector("#clock[data-seconds]");
    if (!running) clock = null;
    else if (!clock || clock.element !== running) clock = { element: running, seconds: Number(running.dataset.seconds), since: performance.now() };
    tick();
    compare();
  }

  function tick() {
    const shown = document.getElementById("clinic-time");
    if (shown && clinic) put(shown, time(new Date(clinic.latest + passed(clinic.since)), shown.dataset.zone));
    if (clock) put(clock.element, words(Math.floor((clock.seconds + passed(clock.since) / 1000) / 60)));
  }

  function put(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function compare() {
    const notice = document.getElementById("tablet");
    const shown = document.getElementById("clinic-time");
    if (!notice || !shown || !clinic) return;
    const off = Date.now() - (clinic.latest + passed(clinic.since));
    notice.hidden = Math.abs(off) <= OFF_BY;
    if (notice.hidden) return;
    const minutes = Math.round(Math.abs(off) / 60000);
    const amount = minutes < 120 ? `${minutes} minutes` : `${Math.round(minutes / 60)} hours`;
    put(document.getElementById("tablet-off"), `${amount} ${off > 0 ? "ahead" : "behind"}`);
    put(document.getElementById("tablet-clinic"), shown.textContent);
  }

  // Nothing is swapped while someone types a time, chooses, or waits for what was just pressed.
  const typing = () => {
    const at = document.activeElement;
    return busy || document.querySelector("details.late[open]") || (at && at.matches("input, select, textarea"));
  };
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.elt.matches("#board, #live") && typing()) event.preventDefault();
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.elt.matches("#board, #live") && typing()) event.detail.shouldSwap = false;
  });
  document.addEventListener("htmx:afterSettle", learn);

  // A second tap waits for the first.
  let busy = null;
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-once]")) return;
    if (busy) {
      event.preventDefault();
      return;
    }
    const button = event.submitter;
    const label = button && button.matches(".tap") ? button.querySelector("span") : null;
    busy = { button, label, text: label && label.textContent };
    if (button) button.setAttribute("aria-busy", "true");
    if (label) label.textContent = "Saving…";
  });
  // The back button brings the page as it was left.
  window.addEventListener("pageshow", () => {
    if (!busy) return;
    if (busy.button) busy.button.removeAttribute("aria-busy");
    if (busy.label) busy.label.textContent = busy.text;
    busy = null;
  });

  // What a row of the list leads to may be under the hand at once.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("#tasks a[href^='#']");
    const goal = link && document.getElementById(link.hash.slice(1));
    const control = goal && (goal.querySelector("button, a") || goal);
    if (!control) return;
    event.preventDefault();
    goal.scrollIntoView({ block: "center" });
    control.focus({ preventScroll: true });
  });

  learn();
  setInterval(tick, 1000);
})();
