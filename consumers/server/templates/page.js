// Pages work without this: it refreshes them, submits forms on change and reads plots aloud.
"use strict";
(() => {
  const EVERY_MS = 5000;
  const main = document.querySelector("main[data-live]");
  const fresh = document.getElementById("fresh");
  let tag = null;

  document.addEventListener("change", (event) => {
    const form = event.target.closest("form.ask");
    if (form && event.target.matches("select")) form.requestSubmit();
  });

  // An empty field stands for the default: it would only make links longer.
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form.ask")) return;
    for (const field of event.target.elements) if (field.name && !field.value) field.disabled = true;
  });

  const busy = () => main.contains(document.activeElement)
    && document.activeElement.matches("input, select, textarea");

  function put(text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const next = page.querySelector("main");
    if (!next) return;
    const open = new Set([...main.querySelectorAll("details[open][id]")].map((one) => one.id));
    const focused = document.activeElement && document.activeElement.id;
    for (const one of next.querySelectorAll("details[id]")) if (open.has(one.id)) one.open = true;
    main.replaceChildren(...next.childNodes);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    document.dispatchEvent(new Event("shown"));
  }

  async function refresh() {
    if (document.hidden || busy()) return;
    try {
      const headers = tag ? { "If-None-Match": tag } : {};
      const answer = await fetch(location.href, { headers, cache: "no-store", redirect: "error" });
      if (answer.status === 200) {
        const text = await answer.text();
        if (tag !== null) put(text);
        tag = answer.headers.get("ETag");
      }
      fresh.textContent = "";
    } catch {
      fresh.textContent = "The server does not answer; what stands here may be old.";
    }
  }

  if (main) setInterval(refresh, EVERY_MS);
})();
