// Counts the warnings that are left while they are ticked. The page says it without this file too, as of when it loaded.
(() => {
  "use strict";

  const boxes = [...document.querySelectorAll("input[name=acknowledge]")];
  const told = document.querySelector("[data-left]");
  const short = document.querySelector("[data-left-short]");
  if (!boxes.length || !told) return;

  const tell = () => {
    const left = boxes.filter((box) => !box.checked).length;
    const warnings = left === 1 ? "1 warning" : `${left} warnings`;
    told.textContent = left
      ? `${warnings} ${left === 1 ? "is" : "are"} left to acknowledge.`
      : "All warnings are acknowledged.";
    if (short && short.textContent !== "Blocked") short.textContent = left ? `${warnings} left` : "Nothing left";
  };
  for (const box of boxes) box.addEventListener("change", tell);
  tell();
})();
