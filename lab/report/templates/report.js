"use strict";
(() => {
  const data = JSON.parse(document.getElementById("embedded").textContent);
  const words = data.words;

  const make = (name, classes, text) => {
    const one = document.createElement(name);
    if (classes) one.className = classes;
    if (text !== undefined) one.textContent = text;
    return one;
  };
  const shown = (ms) =>
    ms >= 1000 ? (ms / 1000).toFixed(2) + " s" : ms.toFixed(ms < 10 ? 2 : 1) + " ms";

  // Light and dark.
  const root = document.documentElement;
  const theme = document.getElementById("theme");
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
  const tell = () => {
    theme.textContent = isDark() ? "Light" : "Dark";
    theme.setAttribute("aria-pressed", String(isDark()));
    theme.setAttribute("aria-label", "Dark colours");
  };
  theme.hidden = false;
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    tell();
  });
  system.addEventListener("change", tell);
  tell();

  // One trace as rows; a click on one shows everything that its span says.
  const pairs = (flat) => {
    const found = [];
    for (let at = 0; at < flat.length; at += 2)
      found.push([words[flat[at]], words[flat[at + 1]]]);
    return found;
  };
  const isLong = (key, value) => key.endsWith(".text") || value.length > 90;
  const listed = (flat) => {
    const box = make("div");
    const table = make("table");
    for (const [key, value] of pairs(flat)) {
      if (isLong(key, value)) {
        box.append(make("h4", "", key), make("pre", "", value));
        continue;
      }
      const row = table.insertRow();
      const head = make("th", "mono", key);
      head.scope = "row";
      row.append(head, make("td", "mono", value));
    }
    if (table.rows.length) box.prepend(table);
    return box;
  };
  const more = (span) => {
    const [, name, kind, service, place, at, ms, status, attributes, events] = span;
    const box = make("div", "more");
    box.append(make("h4", "", words[name]));
    box.append(
      make(
        "div",
        "soft",
        `${words[kind].toLowerCase()} span of ${words[service]} ${words[place]}` +
          ` (${words[span[10]]}), from ${shown(at)}, took ${shown(ms)},` +
          ` status ${words[status]}, id ${words[span[11]]}`,
      ),
    );
    box.append(make("h4", "", attributes.length ? "Attributes" : "No attributes"));
    box.append(listed(attributes));
    for (const [event, when, said] of events) {
      box.append(make("h4", "", `Event ${words[event]} at ${shown(when)}`), listed(said));
    }
    return box;
  };
  const kindOf = (span) => {
    const name = words[span[1]];
    if (words[span[7]] === "ERROR") return "bad";
    if (name === "pool.acquire") return "wait";
    if (pairs(span[8]).some(([key]) => key === "db.system.name")) return "sql";
    return words[span[2]] === "SERVER" ? "server" : "client";
  };
  // Where a statement or an attempt went, and whether that is another region.
  const towards = (span) => {
    const said = new Map(pairs(span[8]));
    const gateway = said.get("seawall.gateway.region");
    const target = said.get("seawall.target");
    if (!gateway && !target) return null;
    const home = words[span[4]].split("-")[0];
    const region = gateway || target.split("@")[1] || "";
    const far = Boolean(region && home && region !== home);
    const text = gateway ? `db ${gateway}` : target;
    return make("i", far ? "to far" : "to", `  ${far ? "⇢" : "→"} ${text}`);
  };
  const waterfall = (id, left, label) => {
    const trace = data.traces[id];
    const whole = Math.max(trace.ms, 0.001);
    const box = make("div", "trace");
    const head = make("div", "head");
    head.append(
      make("span", "mono", id),
      `, ${shown(trace.ms)}, ${trace.spans.length} spans` +
        (trace.left_out ? `, ${trace.left_out} more left out` : ""),
    );
    if (left && left < trace.ms * 0.98)
      head.append(`; the black line is where the customer left`);
    const rows = make("div", "rows");
    rows.tabIndex = 0;
    rows.setAttribute("role", "region");
    rows.setAttribute("aria-label", `Spans of a trace${label ? ", " + label : ""}`);
    for (const span of trace.spans) {
      const kind = kindOf(span);
      const row = make("button", "row");
      row.type = "button";
      row.setAttribute("aria-expanded", "false");
      const what = make("span", "what");
      what.style.setProperty("--depth", String(Math.min(span[0], 14)));
      if (kind === "bad") what.append(make("span", "err", "✕ "));
      what.append(make("b", "", words[span[1]].replace("shop.v1.", "")));
      what.append(make("i", "", `  ${words[span[3]]} ${words[span[4]]}`));
      const to = towards(span);
      if (to) what.append(to);
      if (span[9].length)
        what.append(make("i", "", `  ◆ ${span[9].length}`));
      const lane = make("span", "lane");
      const bar = make("span", kind);
      bar.style.left = (100 * Math.max(0, span[5])) / whole + "%";
      bar.style.width = Math.max(0.2, (100 * span[6]) / whole) + "%";
      lane.append(bar);
      if (left && left < trace.ms * 0.98) {
        const gone = make("s");
        gone.style.left = (100 * left) / whole + "%";
        lane.append(gone);
      }
      row.append(what, make("span", "ms", shown(span[6])), lane);
      let open = null;
      row.addEventListener("click", () => {
        if (open) open.remove();
        open = open ? null : more(span);
        if (open) {
          row.after(open);
          // What is opened is seen, below its own row, and the page stays where it is.
          if (open.offsetTop + open.offsetHeight > rows.scrollTop + rows.clientHeight)
            rows.scrollTop = row.offsetTop;
        }
        row.setAttribute("aria-expanded", String(Boolean(open)));
      });
      rows.append(row);
    }
    box.append(head, rows);
    return box;
  };
  for (const place of document.querySelectorAll(".waterfall")) {
    const { trace, left, label } = place.dataset;
    place.append(waterfall(trace, Number(left), label));
  }

  // A check's evidence.
  for (const button of document.querySelectorAll("button.id")) {
    let open = null;
    button.addEventListener("click", () => {
      if (open) open.remove();
      open = open ? null : waterfall(button.dataset.trace, 0, "");
      if (open) button.closest(".check").querySelector(".evidence").append(open);
      button.setAttribute("aria-expanded", String(Boolean(open)));
    });
  }

  // The numbers of the second under the pointer, in all panels at once.
  const svgNs = "http://www.w3.org/2000/svg";
  for (const figure of document.querySelectorAll("figure.timed")) {
    const fields = figure.dataset.fields.split(",").map(Number);
    const names = figure.dataset.names.split(",");
    const unit = figure.dataset.unit;
    const readout = figure.querySelector(".readout");
    for (const svg of figure.querySelectorAll("svg")) {
      const { from, to, end } = svg.dataset;
      if (from === undefined) continue;
      const cross = document.createElementNS(svgNs, "line");
      cross.setAttribute("class", "cross");
      cross.setAttribute("y1", "34");
      cross.setAttribute("y2", String(svg.viewBox.baseVal.height - 34));
      svg.addEventListener("pointermove", (event) => {
        const frame = svg.getBoundingClientRect();
        const x = ((event.clientX - frame.left) / frame.width) * svg.viewBox.baseVal.width;
        const second = Math.floor(((x - from) / (to - from)) * end);
        if (second < 0 || second >= end) return;
        cross.setAttribute("x1", String(x));
        cross.setAttribute("x2", String(x));
        svg.append(cross);
        readout.textContent =
          `second ${second}: ` +
          data.runs
            .map((run, index) => {
              const row = data.seconds[index][second];
              if (!row) return `${run} -`;
              const said = fields.map((field, at) =>
                `${names[at]} ${row[field] === null ? "-" : Math.round(10 * row[field]) / 10}`,
              );
              return `${run} ${said.join(", ")} ${unit}`;
            })
            .join("  |  ");
      });
      svg.addEventListener("pointerleave", () => {
        cross.remove();
        readout.textContent = "";
      });
    }
  }

  // Why a breaker was as it was.
  for (const figure of document.querySelectorAll("figure.lanes")) {
    const readout = figure.querySelector(".readout");
    const say = (event) => {
      const said = event.target.dataset && event.target.dataset.say;
      if (!said) return;
      for (const one of figure.querySelectorAll(".chosen")) one.classList.remove("chosen");
      event.target.classList.add("chosen");
      readout.textContent = said;
    };
    figure.addEventListener("click", say);
    figure.addEventListener("pointerover", say);
  }
})();
