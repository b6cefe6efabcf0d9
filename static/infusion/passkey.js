// Asks the browser for a passkey and sends its answer with the form. Without this file the other ways in remain.
(() => {
  "use strict";

  const REFUSED = "No passkey came back. Try again, or take another way.";

  const options = async (form) => {
    if (form.dataset.options) return JSON.parse(form.dataset.options);
    const answer = await fetch(form.action, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error("no options");
    return answer.json();
  };

  const ask = async (form) => {
    const { creation_options: creation, request_options: request } = await options(form);
    if (!creation) return window.webauthnJSON.get(request);
    // One that is kept in the device and asks for its owner can sign in by itself.
    Object.assign(creation.publicKey.authenticatorSelection, {
      residentKey: "required",
      requireResidentKey: true,
      userVerification: "required",
    });
    return window.webauthnJSON.create(creation);
  };

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const told = form.querySelector(".passkey-told");
    const button = form.querySelector("button");
    if (!window.PublicKeyCredential || !window.webauthnJSON) {
      if (told) told.textContent = "This browser has no passkeys.";
      continue;
    }
    form.hidden = false;
    button.addEventListener("click", async (event) => {
      event.preventDefault();
      if (told) told.textContent = "";
      button.disabled = true;
      try {
        const answer = await ask(form);
        form.elements.credential.value = JSON.stringify(answer);
        form.submit();
      } catch {
        if (told) told.textContent = REFUSED;
      }
      button.disabled = false;
    });
  }
})();
