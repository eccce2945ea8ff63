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
  // Going back shows the form as it was left, and not as the address says.
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form.ask")) {
      for (const field of form.elements) field.disabled = false;
      form.reset();
    }
  });

  const busy = () => main.contains(document.activeElement)
    && document.activeElement.matches("input, select, textarea, .plot")
    || main.querySelector(".cross[visibility=visible]") !== null
    || [...main.querySelectorAll("form.act input")].some((one) => one.value !== one.defaultValue);

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
      } else if (answer.status !== 304) throw new Error(answer.status);
      fresh.textContent = "";
    } catch {
      fresh.textContent = "The server does not answer as it should; what stands here may be old.";
    }
  }

  // A plot is read from the table of its numbers: the row nearest to where one points.
  const rowsOf = (plot) => [...plot.closest("figure").querySelectorAll("tr[data-x]")];

  function read(plot, at) {
    const figure = plot.closest("figure"), rows = rowsOf(plot);
    if (!rows.length) return;
    const row = rows[Math.min(Math.max(at, 0), rows.length - 1)];
    const heads = [...figure.querySelectorAll("thead th")].slice(1).map((one) => one.textContent);
    const cells = [...row.children].map((one) => one.textContent);
    const cross = plot.querySelector(".cross");
    for (const side of ["x1", "x2"]) cross.setAttribute(side, `${row.dataset.x}%`);
    cross.setAttribute("visibility", "visible");
    plot.dataset.at = rows.indexOf(row);
    figure.querySelector(".read").textContent =
      `${cells[0]}: ${heads.map((head, n) => `${head} ${cells[n + 1]}`).join(", ")}`;
  }

  function leave(plot) {
    plot.querySelector(".cross")?.setAttribute("visibility", "hidden");
    delete plot.dataset.at;
    plot.closest("figure").querySelector(".read").textContent = "";
  }

  function nearest(plot, clientX) {
    const box = plot.querySelector("svg").getBoundingClientRect();
    const share = 100 * (clientX - box.left) / box.width;
    const far = rowsOf(plot).map((row) => Math.abs(row.dataset.x - share));
    return far.indexOf(Math.min(...far));
  }

  const plotOf = (event) => event.target.closest?.(".chart .plot");

  for (const kind of ["pointermove", "pointerdown"]) {
    document.addEventListener(kind, (event) => {
      const plot = plotOf(event);
      if (plot) read(plot, nearest(plot, event.clientX));
    });
  }
  document.addEventListener("pointerout", (event) => {
    const plot = plotOf(event);
    if (plot && !plot.contains(event.relatedTarget) && plot !== document.activeElement) leave(plot);
  });
  document.addEventListener("focusout", (event) => {
    const plot = plotOf(event);
    if (plot) leave(plot);
  });
  document.addEventListener("keydown", (event) => {
    const plot = event.target.matches?.(".chart .plot") ? event.target : null;
    if (!plot) return;
    const last = rowsOf(plot).length - 1, now = Number(plot.dataset.at ?? last + 1);
    const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key];
    if (event.key === "Escape") leave(plot);
    if (to === undefined) return;
    event.preventDefault();
    read(plot, to);
  });

  // An alert links to a finding by its key; one that the list no longer shows is asked for alone.
  const key = location.hash.slice(1);
  if (location.pathname === "/findings" && /^[0-9a-f]{32}$/.test(key)
      && !document.getElementById(key) && !location.search.includes("key=")) {
    location.replace(`/findings?key=${key}#${key}`);
  }

  if (main) setInterval(refresh, EVERY_MS);
})();
