// SPDX-License-Identifier: Apache-2.0
// Draws the data that `clr report` put into this page. Text from files is set as text, never as HTML.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const main = document.getElementById("main");
  const colours = 10;
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const charts = [];
  const items = data.runs.length && data.runs.every((run) => run.config && run.config.text) ? "texts" : "images";

  // ------------------------------------------------------------------------------ small things
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "class") element.className = value;
      else if (key === "style") Object.assign(element.style, value);
      else element.setAttribute(key, value);
    }
    for (const child of children) element.append(child instanceof Node ? child : document.createTextNode(String(child)));
    return element;
  };
  const percent = (x) => (x === null || x === undefined ? "–" : (100 * x).toFixed(1));
  const interval = (ci) => (ci && ci[1] > ci[0] ? ` [${percent(ci[0])}, ${percent(ci[1])}]` : "");
  const count = (x) => Number(x).toLocaleString("en");
  const short = (name) => (name.length > 60 ? "…" + name.slice(-59) : name);
  // A path may be broken between its folders, a long folder between its words.
  const words = (name) => {
    const parts = make("span");
    for (const folder of name.match(/[^/]*\/|[^/]+$/g) || []) {
      for (const part of folder.length > 24 ? folder.match(/[^_-]*[_-]|[^_-]+$/g) : [folder]) parts.append(part, make("wbr"));
    }
    return parts;
  };
  // Of a chain of operations the names; of what else is long the beginning. All of it when pointed at.
  const setting = (value) => {
    if (value === null) return "–";
    const whole = typeof value === "string" ? value : JSON.stringify(value);
    if (Array.isArray(value) && value.every((each) => each && each.type)) return make("span", {title: whole}, words(value.map((each) => each.type).join(", ")));
    return whole.length > 40 ? make("span", {title: whole}, `${whole.slice(0, 37)}…`) : whole;
  };
  const table = (heading, rows, options = {}) => {
    const body = make("tbody");
    rows.forEach((row, i) => {
      const line = make("tr", options.best === i ? {class: "best"} : {});
      row.forEach((cell, column) => {
        const text = (options.text || [0]).includes(column);
        line.append(make("td", text ? {class: "text"} : {}, cell));
      });
      body.append(line);
    });
    const head = make("tr", {}, ...heading.map((h, i) => make("th", (options.text || [0]).includes(i) ? {class: "text"} : {}, h)));
    return make("div", {class: "scroll"}, make("table", {class: options.class || ""}, make("thead", {}, head), body));
  };
  const section = (id, title) => {
    const link = make("a", {href: "#" + id}, title);
    document.getElementById("contents").append(link);
    const element = make("section", {id}, make("h2", {}, title));
    main.append(element);
    return element;
  };
  const card = (title, ...children) => make("div", {class: "card"}, make("h3", {}, title), ...children);
  const missing = (text) => make("p", {class: "quiet"}, text);

  // ------------------------------------------------------------------------------------- charts
  const axis = (title, more = {}) => ({title: {display: true, text: title}, grid: {}, ticks: {maxTicksLimit: 7}, ...more});
  // Powers of ten, and over up to three of them their 2 and 5 fold: a line and a number each, no others.
  const power = (value) => (value >= 0.01 ? count(value) : value.toExponential(0));
  const decades = (scale) => {
    const lead = (value) => Math.round(value / 10 ** Math.floor(Math.log10(value) + 1e-9));
    const wide = scale.max / scale.min > 1001;
    scale.ticks = scale.ticks.filter((tick) => (wide ? [1] : [1, 2, 5]).includes(lead(tick.value)));
  };
  const recolour = (chart) => {
    for (const scale of Object.values(chart.options.scales)) {
      scale.title.color = style("--quiet");
      scale.ticks.color = style("--quiet");
      scale.grid.color = style("--line");
    }
    for (const set of chart.data.datasets) {
      set.borderColor = style(`--line-${set.tone % colours}`);
      set.backgroundColor = set.borderColor + (set.fade || "");
    }
  };
  const draw = (config, tall = false) => {
    const canvas = make("canvas");
    const holder = make("div", {class: tall ? "chart tall" : "chart"}, canvas);
    // Drawn once it is part of the page, whose width it takes.
    charts.push(() => {
      const chart = new Chart(canvas, config);
      recolour(chart);
      chart.update();
      return chart;
    });
    return holder;
  };
  const line = (series, x, y, more = {}) => draw({
    type: "line",
    data: {datasets: series},
    options: {
      animation: false, maintainAspectRatio: false, spanGaps: true, interaction: {mode: "nearest", intersect: false},
      plugins: {legend: {display: false}, ...(more.plugins || {})},
      scales: {x: more.logarithmic ? axis(x, {type: "logarithmic", ticks: {callback: power, maxRotation: 0}, afterBuildTicks: decades}) : axis(x, {type: "linear", suggestedMin: 0}), y: axis(y)},
    },
  });
  const curve = (label, xs, ys, i, more = {}) => ({
    label, data: xs.map((x, k) => ({x, y: ys[k]})).filter((p) => p.y !== null && p.y !== undefined && p.x !== null),
    tone: i, borderWidth: 2, pointRadius: xs.length > 40 ? 0 : 2, tension: 0, ...more,
  });
  const keys = (names) => make("div", {class: "keys"}, ...names.map((name, i) =>
    make("span", {}, make("i", {style: {background: `var(--line-${i % colours})`}}), words(name))));

  // ---------------------------------------------------------------------------------- the parts
  const titles = {
    loss: "loss", knn_top1: "kNN top-1 during training, %", h_rank: "rank of h (RankMe)", z_rank: "rank of z (RankMe)",
    h_uniformity: "uniformity of h", z_uniformity: "uniformity of z", h_alignment: "alignment of h", z_alignment: "alignment of z",
    h_deviation: "deviation of h", z_deviation: "deviation of z", h_alpha: "alpha-ReQ of h", z_alpha: "alpha-ReQ of z",
    positive_cosine: "cosine of positives", negative_cosine: "cosine of negatives", gradient_norm: "gradient norm",
    learning_rate: "learning rate", images_per_s: `${items}/s`, data_wait: "share of time waiting for data",
  };

  function summary() {
    const box = section("summary", "Results");
    const {keys: differing, groups, best, incomplete} = data.summary;
    const metrics = data.metrics;
    const accuracy = (m) => m.endsWith("_top1");
    const name = (m) => m.replace(/_top1$/, "").replaceAll("_", " ").replace("knn", "kNN").replace("images per s", `${items}/s`) + (accuracy(m) ? " top-1, %" : "");
    const number = (m, x) => (accuracy(m) ? percent(x) : m === "images_per_s" ? x.toFixed(0) : x.toPrecision(4));
    const lists = [...differing.keys()].filter((k) => groups.some((g) => g.values[differing[k].pointer] instanceof Object)).map((k) => k + 1);
    const rows = groups.map((group) => [
      words(group.runs.length === 1 ? group.runs[0].run : `${group.runs[0].run} and ${group.runs.length - 1} more`),
      ...differing.map((key) => setting(group.values[key.pointer])),
      group.runs.length,
      ...metrics.map((m) => {
        const found = group.metrics[m];
        if (!found) return "–";
        const spread = found.values.length > 1 ? ` ± ${number(m, found.deviation)}` : accuracy(m) ? interval(found.ci95) : "";
        return number(m, found.mean) + spread;
      }),
    ]);
    box.append(table(["run", ...differing.map((k) => k.head), "seeds", ...metrics.map(name)], rows,
      {best: best ? best.group : -1, text: [0, ...lists]}));
    box.append(make("p", {class: "quiet"}, "In brackets 95 % intervals; ± one deviation over seeds."));
    if (data.paired) box.append(make("p", {}, data.paired));
    for (const one of incomplete) box.append(make("p", {class: "note"}, `${one.run}: ${one.problem}`));
  }

  function training() {
    const runs = data.runs.filter((r) => r.curves);
    if (!runs.length) return;
    const box = section("training", "Training");
    box.append(keys(runs.map((r) => short(r.name))));
    for (const run of runs) {
      for (const note of run.curves.notes) box.append(make("p", {class: "note"}, `${short(run.name)}: ${note.message}`));
    }
    const grid = make("div", {class: "grid"});
    const steps = runs.map((r, i) => r.curves.steps.loss && curve(r.name, r.curves.steps.step, r.curves.steps.loss, i, {pointRadius: 0, borderWidth: 1.5})).filter(Boolean);
    if (steps.length) grid.append(card("loss by step", line(steps, "step", "loss")));
    const epochKeys = ["knn_top1", "h_rank", "z_rank", "h_uniformity", "z_uniformity", "h_alignment", "z_alignment", "h_deviation", "z_deviation", "h_alpha", "positive_cosine", "negative_cosine", "gradient_norm", "learning_rate", "images_per_s"];
    for (const key of epochKeys) {
      const series = runs.map((r, i) => {
        const epochs = r.curves.epochs;
        if (!epochs[key]) return null;
        return curve(r.name, epochs.step, key.endsWith("_top1") ? epochs[key].map((v) => (v === null || v === undefined ? null : 100 * v)) : epochs[key], i);
      }).filter(Boolean);
      if (series.length) grid.append(card(titles[key] || key, line(series, "step", titles[key] || key)));
    }
    if (!grid.children.length) box.append(missing("No rows in metrics.jsonl yet."));
    box.append(grid);
  }

  const heat = (value, low, high) => {
    const share = high > low ? (value - low) / (high - low) : 1;
    return {background: `rgba(var(--heat), ${(0.08 + 0.55 * share).toFixed(3)})`};
  };
  const heatTable = (corner, columns, rows) => {
    const values = rows.flatMap((r) => r.values).filter((v) => v !== null);
    const low = Math.min(...values);
    const high = Math.max(...values);
    const body = rows.map((row) => make("tr", {}, make("td", {class: "text"}, row.name),
      ...row.values.map((v) => make("td", v === null ? {} : {style: heat(v, low, high)}, v === null ? "" : percent(v)))));
    return make("div", {class: "scroll"}, make("table", {class: "heat"},
      make("thead", {}, make("tr", {}, make("th", {}, corner), ...columns.map((c) => make("th", {}, c)))), make("tbody", {}, ...body)));
  };

  function knnGrid(knn) {
    const ks = [...new Set(knn.map((c) => c.k))];
    const kind = (cell) => `${cell.metric} ${cell.weighting}`;
    const kinds = [...new Set(knn.map(kind))];
    const sorted = [...knn].sort((a, b) => kinds.indexOf(kind(a)) - kinds.indexOf(kind(b)) || (a.temperature || 0) - (b.temperature || 0));
    const names = new Map();
    for (const cell of sorted) {
      const metric = cell.metric || "cosine";
      const name = cell.weighting === "temperature" ? `${metric}, temperature ${cell.temperature ?? ""}` :
        cell.weighting === "distance" ? `${metric}, 1 / distance` : `${metric}, majority`;
      if (!names.has(name)) names.set(name, ks.map(() => null));
      names.get(name)[ks.indexOf(cell.k)] = cell.top1;
    }
    return heatTable("votes", ks.map((k) => `k ${k}`), [...names].map(([name, values]) => ({name, values})));
  }

  function headsGrid(result) {
    const rates = [...new Set(result.heads.map((h) => h.learning_rate))];
    const decays = [...new Set(result.heads.map((h) => h.weight_decay))];
    const rows = rates.map((rate) => ({
      name: `rate ${rate}`,
      values: decays.map((decay) => (result.heads.find((h) => h.learning_rate === rate && h.weight_decay === decay) || {validation_top1: null}).validation_top1),
    }));
    return heatTable("held-out top-1, %", decays.map((d) => `decay ${d}`), rows);
  }

  function perClass(list) {
    const body = list.map((c) => make("tr", {}, make("td", {class: "text"}, c.class), make("td", {}, count(c.images)),
      make("td", {}, percent(c.top1) + interval(c.ci95)),
      make("td", {}, make("div", {class: "bar"}, make("b", {style: {width: `${100 * c.top1}%`}}),
        make("i", {style: {left: `${100 * c.ci95[0]}%`, width: `${100 * (c.ci95[1] - c.ci95[0])}%`}})))));
    return make("div", {class: "scroll"}, make("table", {style: {width: "100%"}},
      make("thead", {}, make("tr", {}, ...["class", items, "top-1, % [95 %]", ""].map((h) => make("th", {}, h)))), make("tbody", {}, ...body)));
  }

  function confusion(result) {
    const names = result.class_names;
    const body = result.confusion.map((row, i) => {
      const total = row.reduce((a, b) => a + b, 0) || 1;
      return make("tr", {}, make("th", {}, names[i]), ...row.map((n, j) => {
        const cell = make("td", {title: `${names[i]} taken for ${names[j]}: ${n} of ${total}`}, n || "");
        const share = n / total;
        if (n) cell.style.background = i === j ? `rgba(26, 127, 75, ${0.12 + 0.6 * share})` : `rgba(213, 94, 0, ${Math.min(0.9, 0.1 + 2 * share)})`;
        return cell;
      }));
    });
    const head = make("tr", {}, make("th", {}, ""), ...names.map((n) => make("th", {class: "turned"}, n)));
    return make("div", {class: "scroll"}, make("table", {class: "matrix"}, make("thead", {}, head), make("tbody", {}, ...body)));
  }

  const tip = make("div", {id: "tip"});
  document.body.append(tip);
  function embeddingMap(evaluation) {
    const map = evaluation.map;
    const groups = map.classes.length ? map.classes : [items];
    const datasets = groups.map((name, c) => ({
      label: name, data: [], rows: [], tone: c, fade: "cc", pointRadius: 3,
      pointStyle: ["circle", "triangle", "rect", "rectRot", "cross", "star"][Math.floor(c / colours) % 6],
    }));
    map.x.forEach((x, i) => {
      const set = datasets[map.classes.length ? map.label[i] : 0];
      if (!set) return;
      set.data.push({x, y: map.y[i]});
      set.rows.push(i);
    });
    const size = map.thumbnail_size;
    const show = (context) => {
      const point = context.tooltip.dataPoints && context.tooltip.dataPoints[0];
      if (!context.tooltip.opacity || !point) { tip.style.display = "none"; return; }
      const row = datasets[point.datasetIndex].rows[point.dataIndex];
      tip.replaceChildren();
      if (evaluation.thumbnails) {
        const scale = 96 / size;
        tip.append(make("div", {style: {
          backgroundImage: `url(${evaluation.thumbnails})`,
          backgroundSize: `${size * map.thumbnail_columns * scale}px auto`,
          backgroundPosition: `-${(row % map.thumbnail_columns) * 96}px -${Math.floor(row / map.thumbnail_columns) * 96}px`,
        }}));
      }
      tip.append(make("span", {}, map.name[row]));
      const place = context.chart.canvas.getBoundingClientRect();
      tip.style.display = "block";
      tip.style.left = `${Math.min(place.left + context.tooltip.caretX + 12, window.innerWidth - 250)}px`;
      tip.style.top = `${Math.min(place.top + context.tooltip.caretY + 12, window.innerHeight - 150)}px`;
    };
    // The same steps on both axes.
    const extent = Math.max(...[map.x, map.y].map((values) => Math.max(...values) - Math.min(...values))) || 1;
    const ten = 10 ** Math.floor(Math.log10(extent / 7));
    const steps = {ticks: {stepSize: ten * [1, 2, 5, 10].find((times) => times * ten * 7 >= extent)}};
    const share = map.shares ? map.shares.map((s) => `, ${percent(s)} % of the variance`) : ["", ""];
    const drawn = draw({
      type: "scatter",
      data: {datasets},
      options: {
        animation: false, maintainAspectRatio: false,
        plugins: {legend: {display: false}, tooltip: {enabled: false, external: show}},
        scales: {x: axis(`first component${share[0]}`, steps), y: axis(`second component${share[1]}`, steps)},
      },
    }, true);
    const note = `${map.method} of features of length 1; ${count(map.x.length)} of ${count(map.images ?? map.x.length)} test ${items}. Point at one to see it.`;
    return card("map of embeddings", map.classes.length ? keys(map.classes) : "", drawn, make("p", {class: "quiet"}, note));
  }

  function labelCurves() {
    const series = [];
    data.runs.forEach((run) => run.evaluations.forEach((evaluation) => {
      if (evaluation.result && evaluation.result.few_labels) series.push({name: `${short(run.name)}: ${evaluation.name}`, points: evaluation.result.few_labels});
    }));
    if (!series.length) return;
    // What counting words gives with the same labels: one curve, as it knows no encoder.
    const counted = series.find((s) => s.points.every((p) => p.tfidf !== undefined));
    if (counted) series.push({name: "TF-IDF, without an encoder", points: counted.points.map((p) => ({train_images: p.train_images, top1: p.tfidf, ci95: [p.tfidf, p.tfidf]}))});
    const box = section("labels", "Few labels");
    box.append(keys(series.map((s) => s.name)));
    const datasets = series.flatMap(({name, points}, i) => {
      const sorted = [...points].sort((a, b) => a.train_images - b.train_images);
      const band = (side, fill) => ({
        label: "", data: sorted.map((p) => ({x: p.train_images, y: 100 * p.ci95[side]})), borderWidth: 0, pointRadius: 0, pointHitRadius: 0,
        tone: i, fade: "33", fill,
      });
      return [band(0, false), band(1, "-1"), curve(name, sorted.map((p) => p.train_images), sorted.map((p) => 100 * p.top1), i, {pointRadius: 3})];
    });
    box.append(card(`top-1 by labelled ${items}`, line(datasets, `labelled training ${items}`, "top-1, %", {logarithmic: true, plugins: {tooltip: {filter: (item) => item.dataset.label !== ""}}}),
      make("p", {class: "quiet"}, "Bands: 95 % intervals, over draws of labels where there are several.")));
  }

  function evaluations() {
    const all = data.runs.flatMap((run) => run.evaluations.filter((e) => e.result).map((e) => ({run, e})));
    const box = section("evaluations", "Evaluations");
    if (!all.length) {
      box.append(missing("None yet: clr linear-eval --checkpoint RUN --train PATH --test PATH makes one."));
      return;
    }
    all.forEach(({run, e}, index) => {
      const r = e.result;
      const open = all.length <= 2 || index === 0;
      const inside = make("div", {});
      const sets = r.transfer ? `, mean of ${r.transfer.length} data sets` : "";
      const title = make("summary", {}, words(`${short(run.name)}: ${e.name}`), ` – top-1 ${percent(r.top1)}\u00a0%${interval(r.ci95)}${sets}`);
      const details = make("details", open ? {open: ""} : {}, title, inside);
      box.append(details);
      const facts = [[`test ${items}`, r.test_images], [`labelled training ${items}`, r.train_images], ["classes", r.classes], ["layer", r.layer], ["protocol", r.protocol]]
        .filter(([, v]) => v !== undefined).map(([k, v]) => `${k}: ${typeof v === "number" ? count(v) : v}`);
      if (r.tfidf) facts.push(`TF-IDF without an encoder: ${percent(r.tfidf.top1)} %`);
      inside.append(make("p", {class: "quiet"}, facts.join(" · ")));
      const grid = make("div", {class: "grid"});
      if (r.bootstrap_ci95) facts.length && inside.append(make("p", {class: "quiet"}, `bootstrap over test ${items}: [${percent(r.bootstrap_ci95[0])}, ${percent(r.bootstrap_ci95[1])}] %`));
      if (r.transfer) {
        inside.append(table(["data", "classes", "train", "test", "linear top-1, %", "kNN top-1, %"], r.transfer.map((t) =>
          [t.data, t.classes, count(t.train_images), count(t.test_images), percent(t.top1) + interval(t.ci95), percent(t.knn[0].top1)])));
      }
      if (r.knn) grid.append(card("nearest neighbours, top-1 in %", knnGrid(r.knn)));
      if (r.heads) grid.append(card("linear heads", headsGrid(r), make("p", {class: "quiet"}, `chosen by ${count(r.validation_images)} held-out ${items}; best epoch ${r.best_epoch.epoch}: ${percent(r.best_epoch.top1)} % on the test ${items}`)));
      if (r.l2_tried) {
        const sorted = [...r.l2_tried].sort((a, b) => a.l2 - b.l2);
        grid.append(card("regularisation path", line([curve("held-out top-1", sorted.map((t) => t.l2), sorted.map((t) => 100 * t.validation_top1), 0, {pointRadius: 3})], "l2", "held-out top-1, %", {logarithmic: true}),
          make("p", {class: "quiet"}, `chosen on held-out training ${items}: l2 = ${Number(Number(r.l2).toPrecision(3))}`)));
      }
      const facts2 = [];
      if (r.centroids) facts2.push(["nearest class centroid", percent(r.centroids.top1) + " %"]);
      if (r.retrieval) {
        for (const [k, v] of Object.entries(r.retrieval.recall)) facts2.push([`recall@${k}`, percent(v) + " %"]);
        facts2.push(["mean average precision", r.retrieval.map.toFixed(3)]);
      }
      if (r.clustering) facts2.push(["k-means, NMI", r.clustering.nmi.toFixed(3)], ["k-means, ARI", r.clustering.ari.toFixed(3)]);
      if (facts2.length) grid.append(card("classes without a classifier", table(["measure", "value"], facts2)));
      if (r.per_class && r.per_class.length <= 200) grid.append(card("accuracy of each class", perClass(r.per_class)));
      if (r.confusion && r.class_names.length <= 60) grid.append(card("confusion (rows: true class)", confusion(r)));
      if (r.most_confused && r.most_confused.length) {
        grid.append(card("taken for each other most", table(["class", "taken for", items, "share, %"],
          r.most_confused.slice(0, 10).map((m) => [m.class, m.taken_for, count(m.images), percent(m.share)]), {text: [0, 1]})));
      }
      inside.append(grid);
      if (e.map && e.map.x) inside.append(make("div", {style: {marginTop: "18px"}}, embeddingMap(e)));
      if (e.neighbors) {
        inside.append(make("h3", {}, "nearest neighbours"), make("p", {class: "quiet"}, "Test images, each beside the training images most like it. Green frame: the same class; red: another, which is named."),
          make("div", {class: "scroll"}, make("img", {class: "sheet", src: e.neighbors, alt: "test images and their nearest neighbours"})));
      }
      if (e.neighbor_texts) {
        inside.append(make("h3", {}, "nearest neighbours"), make("p", {class: "quiet"}, "Test texts, below each the training texts most like it, with the cosine and the class."),
          make("pre", {class: "scroll"}, e.neighbor_texts));
      }
      // Charts inside a closed part have no width yet.
      details.addEventListener("toggle", () => window.dispatchEvent(new Event("resize")));
    });
  }

  function views() {
    const shown = data.runs.filter((r) => r.views);
    if (!shown.length) return;
    const box = section("views", "Augmented views");
    shown.forEach((run, i) => {
      const image = make("div", {class: "scroll"}, make("img", {class: "sheet", src: run.views, alt: "images and what training sees of them"}));
      if (shown.length === 1) box.append(image);
      else box.append(make("details", i === 0 ? {open: ""} : {}, make("summary", {}, words(short(run.name))), image));
    });
  }

  function settings() {
    const box = section("configuration", "Configuration and how to repeat");
    for (const run of data.runs) {
      const r = run.result || {};
      const facts = [["device", r.device], [items, r[items] && count(r[items])], ["epochs", r.epochs], ["steps", r.steps && count(r.steps)],
        [`${items}/s`, r.images_per_s && r.images_per_s.toFixed(0)], ["time", r.seconds && `${(r.seconds / 60).toFixed(1)} min`],
        ["peak memory", r.peak_memory_bytes && `${(r.peak_memory_bytes / 1e9).toFixed(2)} GB`]].filter(([, v]) => v !== undefined);
      if (r.best_knn) facts.push([`kNN on training ${items}`, `${percent(r.knn_top1)} % after the last epoch, ${percent(r.best_knn.top1)} % after the best, ${r.best_knn.epoch + 1} (the last is what is kept and judged)`]);
      box.append(make("h3", {}, words(short(run.name))));
      if (facts.length) box.append(make("p", {class: "quiet"}, facts.map(([k, v]) => `${k}: ${v}`).join(" · ")));
      if (run.repeat) box.append(make("pre", {}, run.repeat));
      if (run.config) box.append(make("details", {}, make("summary", {}, "config.json"), make("pre", {}, JSON.stringify(run.config, null, 2))));
    }
  }

  // ------------------------------------------------------------------------------------ the page
  const names = data.runs.map((r) => r.name);
  document.getElementById("title").replaceChildren(names.length === 1 ? words(names[0]) : `${names.length} runs`);
  document.title = `clr report: ${document.getElementById("title").textContent}`;
  document.getElementById("subtitle").textContent = `made ${data.made.replace("_", " ").replace(/(\d\d)-(\d\d)-(\d\d)$/, "$1:$2:$3")} by clr ${data.version}` +
    (data.pictured < names.length ? `; pictures of the first ${data.pictured} runs` : "");

  const root = document.documentElement;
  root.dataset.theme = window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const drawn = [];
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    for (const chart of drawn) { recolour(chart); chart.update(); }
  });
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;

  // A file that holds something unforeseen costs its section, not the page.
  for (const part of [summary, training, labelCurves, evaluations, views, settings]) {
    try {
      part();
    } catch (error) {
      console.error(error);
      main.append(make("p", {class: "note"}, `A part of this page could not be made: ${error.message}`));
    }
  }
  for (const chart of charts) drawn.push(chart());
  root.dataset.ready = "yes";
})();
