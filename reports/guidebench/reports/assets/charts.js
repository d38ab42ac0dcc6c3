// Curves and quality against cost, drawn by Observable Plot from the page's own JSON.
(() => {
  "use strict";
  const SYMBOLS = ["circle", "square", "triangle", "diamond", "star", "cross"];
  const color = (index) => `var(--s${index % 6})`;
  const compact = (value) => (Math.abs(value) >= 1e4 ? d3.format("~s")(value) : d3.format("~g")(value)).replace("-", "\u2212");
  const style = { fontFamily: "inherit", fontSize: "12px", overflow: "visible" };
  const tips = { fill: "var(--sheet-ink)", stroke: "var(--line)", fontSize: 12, lineHeight: 1.3, lineWidth: 30 };

  function openSource(anchor, row) {
    const source = document.getElementById(`${anchor}-row-${row}`);
    source.showPopover();
    source.querySelector("h4").focus(); // at once: the next key may be Escape
  }

  // One chart: drawn again when its width or its choices change; read by pointer, tap and keys.
  function makeChart(figure, anchor, build) {
    const holder = figure.querySelector(".plot");
    const readout = figure.querySelector(".readout");
    let focused = null;
    let points = [];
    let width = 0;
    let tapped = null;

    function draw() {
      const made = build(holder.clientWidth || 340);
      points = made.points;
      if (focused !== null && !points.includes(focused)) focused = null;
      const marks = [...made.options.marks];
      const at = { x: made.x, y: made.y };
      if (focused === null) {
        marks.push(Plot.tip(points, Plot.pointer({ ...at, ...tips, title: "words", maxRadius: 60 })));
      } else {
        marks.push(Plot.dot([focused], { ...at, r: 11, stroke: "currentColor", strokeWidth: 2 }));
        marks.push(Plot.tip([focused], { ...at, ...tips, title: "words" }));
      }
      const plot = Plot.plot({ ...made.options, style, marks });
      plot.setAttribute("aria-hidden", "true"); // the figure has the words
      holder.replaceChildren(plot);
    }

    function read(point) {
      focused = point;
      readout.textContent = point === null ? "" : point.words.replaceAll("\n", ". ");
      draw();
    }

    const moves = {
      ArrowRight: (i) => Math.min(points.length - 1, i + 1),
      ArrowLeft: (i) => Math.max(0, i - 1),
      Home: () => 0,
      End: () => points.length - 1,
    };
    figure.addEventListener("keydown", (event) => {
      if (event.target !== figure) return;
      if (event.key === "Enter" && focused !== null) openSource(anchor, focused.row);
      else if (event.key === "Escape") {
        read(null);
        return; // not ours alone: the browser closes a source by it
      } else if (moves[event.key] && points.length) {
        read(points[moves[event.key](focused === null ? -1 : points.indexOf(focused))]);
      } else return;
      event.preventDefault();
    });
    figure.addEventListener("blur", () => read(null));
    holder.addEventListener("click", (event) => {
      const point = holder.firstChild?.value;
      if (!point) return;
      const again = tapped === point || event.pointerType === "mouse";
      tapped = point;
      if (again) openSource(anchor, point.row);
    });
    new ResizeObserver(() => {
      if (holder.clientWidth === width) return;
      width = holder.clientWidth;
      draw();
    }).observe(holder);
    draw();
    return draw;
  }

  function curveBuilder(curve, hidden, isLog) {
    return (width) => {
      const shown = curve.series.filter((s) => !hidden.has(s.color));
      const points = shown.flatMap((s) => s.points);
      const canLog = isLog() && points.every((p) => p.low > 0) && !(curve.floor <= 0);
      const marks = [];
      if (curve.floor !== null) {
        marks.push(Plot.ruleY([curve.floor], { stroke: "var(--quiet)", strokeDasharray: "5 4" }));
      }
      for (const { color: index, points: all } of shown) {
        const at = { x: "x", y: "y" };
        marks.push(
          Plot.areaY(all, { x: "x", y1: "low", y2: "high", fill: color(index), fillOpacity: 0.17 }),
          Plot.line(all, { ...at, stroke: color(index), strokeWidth: 1.8 }),
          Plot.dot(all, { ...at, fill: color(index), symbol: SYMBOLS[index % 6], r: 3.2 }),
          Plot.dot(all.filter((p) => p.ring), { ...at, stroke: color(index), r: 7, strokeWidth: 1.6 }));
      }
      const options = {
        width, height: Math.round(Math.max(220, Math.min(300, 0.62 * width))),
        marginLeft: 46, marginRight: 14, marginTop: 14, marginBottom: 38,
        x: { label: curve.axis, labelAnchor: "center", labelArrow: "none", ticks: width < 460 ? 5 : 7, tickFormat: compact, inset: 8 },
        y: { label: null, grid: true, ticks: 5, tickFormat: compact, type: canLog ? "log" : "linear", nice: true },
        marks,
      };
      return { options, points, x: "x", y: "y" };
    };
  }

  function startCurves(container, anchor, data) {
    const hidden = new Set();
    const log = container.querySelector("[data-log]");
    for (const curve of data.curves) {
      for (const series of curve.series) {
        for (const point of series.points) point.words = `${point.words}\n${point.text}`;
      }
    }
    const draws = [...container.querySelectorAll("[data-curve]")].map((figure) => makeChart(
      figure, anchor, curveBuilder(data.curves[figure.dataset.curve], hidden, () => log.checked)));
    const all = () => draws.forEach((draw) => draw());
    log.addEventListener("change", all);
    for (const button of container.querySelectorAll("[data-series]")) {
      const index = Number(button.dataset.series);
      button.addEventListener("click", () => {
        if (!hidden.delete(index)) hidden.add(index);
        button.setAttribute("aria-pressed", String(!hidden.has(index)));
        all();
      });
    }
  }

  // Numbered marks closer than `near` pixels move sideways, in turns to the right and the left.
  function spread(points, scaleX, scaleY, near) {
    const placed = [];
    for (const point of points) {
      const y = scaleY.apply(point.y);
      let turn = 0;
      let x = scaleX.apply(point.x);
      const clash = () => placed.some((p) => Math.hypot(p.x - x, p.y - y) < near);
      while (clash()) {
        turn += 1;
        point.dx = near * Math.ceil(turn / 2) * (turn % 2 ? 1 : -1);
        x = scaleX.apply(point.x) + point.dx;
      }
      placed.push({ x, y });
    }
  }

  function costBuilder(data, chosen) {
    return (width) => {
      const { metric, cost } = chosen();
      const front = data.fronts[`${metric.name} ${cost.name}`];
      const points = data.rows
        .filter((r) => r.metrics[metric.name] && r.costs[cost.name])
        .map((r) => ({
          ...r.metrics[metric.name], x: r.costs[cost.name].x, row: r.row, number: r.number, dx: 0,
          front: front.includes(r.row),
          words: `${r.title}\n${r.metrics[metric.name].text}\n${r.costs[cost.name].text}`,
        }));
      const at = { x: "x", y: "y" };
      const best = front.map((row) => points.find((p) => p.row === row));
      const numbered = points.filter((p) => p.number !== null);
      const options = {
        width, height: Math.round(Math.max(260, Math.min(400, 0.6 * width))),
        marginLeft: 46, marginRight: 24, marginTop: 18, marginBottom: 40, inset: 14,
        x: { label: cost.title, labelAnchor: "center", labelArrow: "none", ticks: width < 460 ? 4 : 7, tickFormat: compact, nice: true },
        y: { label: null, grid: true, ticks: 6, tickFormat: compact, nice: true },
      };
      const ranges = Plot.plot({ ...options, marks: [Plot.ruleX(points, { x: "x", y1: "low", y2: "high" })] });
      spread(numbered, ranges.scale("x"), ranges.scale("y"), 19);
      const marks = [
        Plot.line(best, { ...at, curve: "step-after", stroke: "var(--accent)", strokeWidth: 1.6, strokeOpacity: 0.6 }),
        Plot.dot(points.filter((p) => p.number === null), {
          ...at, r: 3, stroke: "var(--quiet)", fill: (p) => (p.front ? "var(--accent)" : "var(--page)") }),
      ];
      for (const [dx, group] of d3.group(numbered, (p) => p.dx)) {
        marks.push(
          Plot.ruleX(group, { x: "x", y1: "low", y2: "high", dx, stroke: "var(--quiet)", strokeWidth: 1.4 }),
          Plot.dot(group, { ...at, dx, r: 9, stroke: "var(--accent)", strokeWidth: 1.5,
            fill: (p) => (p.front ? "var(--accent)" : "var(--page)") }),
          Plot.text(group, { ...at, dx, text: (p) => String(p.number), fontSize: 11, fontWeight: 600,
            fill: (p) => (p.front ? "var(--page)" : "var(--ink)") }));
      }
      return { options: { ...options, marks }, points, x: "x", y: "y" };
    };
  }

  function startCost(container, anchor, data) {
    const metricSelect = container.querySelector("[data-metric]");
    const costSelect = container.querySelector("[data-cost]");
    const chosen = () => ({
      metric: data.metrics[metricSelect.selectedIndex],
      cost: data.costs[costSelect.selectedIndex],
    });
    const figure = container.querySelector("figure");
    const redraw = makeChart(figure, anchor, costBuilder(data, chosen));
    function update() {
      const { metric, cost } = chosen();
      const front = data.fronts[`${metric.name} ${cost.name}`];
      figure.querySelector("figcaption").textContent = metric.title;
      for (const row of data.rows.filter((r) => r.number !== null)) {
        const item = [...container.querySelectorAll("[data-row]")].find((i) => i.dataset.row === row.row);
        item.classList.toggle("best", front.includes(row.row));
        const [found, price] = [row.metrics[metric.name], row.costs[cost.name]];
        const words = found && price
          ? `${found.text.split(": ").at(-1).split(" [")[0]}; ${price.text}` : "not measured";
        item.querySelector(".front").textContent = front.includes(row.row) ? `${words}; on the front` : words;
      }
      redraw();
    }
    metricSelect.addEventListener("change", update);
    costSelect.addEventListener("change", update);
    update();
  }

  for (const container of document.querySelectorAll("[data-charts]")) {
    const anchor = container.dataset.charts;
    const data = JSON.parse(document.getElementById(`${anchor}-charts`).textContent);
    if (container.classList.contains("cost")) startCost(container, anchor, data.cost);
    else startCurves(container, anchor, data);
  }
})();
