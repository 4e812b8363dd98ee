"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);

// ---- The reference: the network's layers as integers; a map is {height, width, channels, values in raster order}.

function blank(height, width, channels) {
  return {height, width, channels, values: new Int32Array(height * width * channels)};
}

const LAYERS = {
  Chain: (layer, map) => layer.layers.reduce((m, each) => LAYERS[each.kind](each, m), map),
  Residual(layer, map) {
    const body = LAYERS[layer.body.kind](layer.body, map), skip = LAYERS[layer.skip.kind](layer.skip, map);
    return {...body, values: body.values.map((v, i) => clip(v + skip.values[i], layer.lo, layer.hi))};
  },
  Requantise(layer, map) {
    const addend = i => layer.addend[i % map.channels % layer.addend.length];
    const moved = (v, i) => layer.shift < 0 ? (v + addend(i)) << -layer.shift : (v + addend(i)) >> layer.shift;
    return {...map, values: map.values.map((v, i) => clip(moved(v, i), layer.lo, layer.hi))};
  },
  BinaryConv(layer, map) {
    const [channels, high, wide] = layer.shape, [top, bottom, left, right] = layer.padding, {stride} = layer;
    const bits = layer.weights ??= bytes(layer.bits);
    const out = blank(Math.floor((map.height + top + bottom - high) / stride) + 1,
                      Math.floor((map.width + left + right - wide) / stride) + 1, channels);
    let at = 0;
    for (let y = 0; y < out.height; ++y)
      for (let x = 0; x < out.width; ++x)
        for (let c = 0, bit = 0; c < channels; ++c) {
          let sum = 0;
          for (let i = 0; i < high; ++i)
            for (let j = 0; j < wide; ++j) {
              const row = y * stride + i - top, column = x * stride + j - left;
              const inside = row >= 0 && row < map.height && column >= 0 && column < map.width;
              let from = (row * map.width + column) * map.channels;
              for (let k = 0; k < map.channels; ++k, ++bit)
                if (inside) sum += bits[bit >> 3] >> (bit & 7) & 1 ? map.values[from++] : -map.values[from++];
            }
          out.values[at++] = sum;
        }
    return out;
  },
  SumPool(layer, map) {
    const {kernel, stride} = layer, {channels} = map, places = size => Math.floor((size - kernel) / stride) + 1;
    const out = blank(places(map.height), places(map.width), channels);
    out.values.forEach((_, at) => {
      const c = at % channels, pixel = Math.floor(at / channels), x = pixel % out.width,
        y = Math.floor(pixel / out.width);
      for (let i = 0; i < kernel; ++i)
        for (let j = 0; j < kernel; ++j)
          out.values[at] += map.values[((y * stride + i) * map.width + x * stride + j) * channels + c];
    });
    return out;
  },
  GlobalSum(layer, map) {
    const out = blank(1, 1, map.channels);
    map.values.forEach((v, i) => out.values[i % map.channels] += v);
    return out;
  },
  PadChannels(layer, map) {
    const out = blank(map.height, map.width, map.channels + layer.channels);
    map.values.forEach((v, i) => out.values[Math.floor(i / map.channels) * out.channels + i % map.channels] = v);
    return out;
  },
};

function sum(values) { return values.reduce((a, b) => a + b, 0); }

function clip(v, lo, hi) { return Math.min(Math.max(v, lo), hi); }

function bytes(text) { return Uint8Array.from(atob(text), c => c.charCodeAt(0)); }

function reference(pixels) {
  return [...LAYERS.Chain(data.net, {height: 8, width: 8, channels: 1, values: Int32Array.from(pixels)}).values];
}

// ---- The machine: see machine.cpp. It asks the system for nothing that a page lacks.

const BAD_FILE = 8;
const system = new Proxy({}, {get: (_, name) => () => name.startsWith("fd_") ? BAD_FILE : 0});
let machine;

const array = (Type, name, length) => new Type(machine.memory.buffer, machine[name](), length);
const counts = () => ({
  states: array(Uint32Array, "states", 4 * data.units.length),
  words: array(Uint32Array, "words", data.units.length),
});
const logits = () => [...array(Int32Array, "values", machine.received())];

// ---- Drawing: strokes become 32x32 dots as tall as the map, and 4x4 of them a pixel, as the data set was made.

const DOTS = 32, PEN = 2.2;
let strokes = [], pixels = new Array(64).fill(0);

function seen() {
  const points = strokes.flat();
  if (!points.length) return new Array(64).fill(0);
  const xs = points.map(p => p[0]), ys = points.map(p => p[1]);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  // A dot is no digit as tall as the map.
  const scale = (DOTS - 2 * PEN) / Math.max(right - left, bottom - top, 0.15);
  const dotted = strokes.map(stroke => stroke.map(([x, y]) =>
    [(x - (left + right) / 2) * scale + DOTS / 2, (y - (top + bottom) / 2) * scale + DOTS / 2]));
  const found = new Array(64).fill(0);
  for (let y = 0; y < DOTS; ++y)
    for (let x = 0; x < DOTS; ++x)
      found[8 * (y >> 2) + (x >> 2)] += dotted.some(stroke => stroke.some((p, i) =>
        distance(x + 0.5, y + 0.5, stroke[Math.max(i - 1, 0)], p) <= PEN));
  return found;
}

function distance(x, y, [x0, y0], [x1, y1]) {
  const dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy;
  const at = length ? clip(((x - x0) * dx + (y - y0) * dy) / length, 0, 1) : 0;
  return Math.hypot(x - x0 - at * dx, y - y0 - at * dy);
}

function sketch() {
  const sheet = $("sheet"), pen = sheet.getContext("2d");
  pen.clearRect(0, 0, sheet.width, sheet.height);
  pen.lineWidth = sheet.width / 13;
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = getComputedStyle(document.body).color;
  if (!strokes.length) {
    pen.font = `${sheet.width / 16}px ${getComputedStyle(document.body).fontFamily}`;
    pen.textAlign = "center";
    pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--faint");
    pen.fillText("draw here", sheet.width / 2, sheet.height / 2);
  }
  for (const stroke of strokes) {
    pen.beginPath();
    for (const [x, y] of [stroke[0], ...stroke]) pen.lineTo(x * sheet.width, y * sheet.height);
    pen.stroke();
  }
}

function place(event) {
  const box = $("sheet").getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

$("sheet").addEventListener("pointerdown", event => {
  if (!machine || !event.isPrimary) return;
  event.preventDefault();
  $("sheet").setPointerCapture(event.pointerId);
  strokes.push([place(event)]);
  halt();
  sketch();
});
$("sheet").addEventListener("pointermove", event => {
  if (!$("sheet").hasPointerCapture(event.pointerId)) return;
  strokes.at(-1).push(place(event));
  sketch();
  show(seen());
});
$("sheet").addEventListener("lostpointercapture", () => begin(seen()));

function show(given) {
  pixels = given;
  [...$("seen").children].forEach((cell, i) => {
    cell.style.setProperty("--ink-share", `${100 * pixels[i] / 16}%`);
    cell.title = pixels[i];
  });
}

// ---- A run.

const SPEEDS = [10, 100, 1000, 3000, 10000, Infinity];  // cycles a second
const TRANSFER = 0, COMPUTE = 1, STALL = 2;
const SLICE = 24;  // cycles a column of the chart
const FRAME = 40;  // ms of work between two pictures at full speed
let expected = [], playing = false, next = 0, owed = 0, last = 0, worked = 0;
let columns = [], drawn = 0, whole = 1;  // `whole` cycles a digit, whichever it is

function begin(given) {
  show(given);
  expected = reference(pixels);
  array(Uint8Array, "pixels", 64).set(pixels);
  restart();
  play();
}

function restart() {
  machine.start();
  columns = [];
  slice.fill(0);
  drawn = worked = owed = 0;
}

function done() { return machine.received() === data.classes.length; }

function play() {
  playing = true;
  last = performance.now();
  cancelAnimationFrame(next);
  next = requestAnimationFrame(tick);
  controls();
}

function halt() {
  playing = false;
  controls();
}

function tick(now) {
  if (!playing) return;
  const speed = Number($("speed").value);
  if (speed === Infinity) {
    const until = performance.now() + FRAME;
    while (!done() && performance.now() < until) advance(1000);
  } else {
    owed += Math.min(now - last, 100) * speed / 1000;
    last = now;
    if (owed >= 1) advance(Math.floor(owed));
    owed %= 1;
  }
  paint();
  if (done()) halt();
  else next = requestAnimationFrame(tick);
}

// So many cycles, or fewer to the end; their states stay in `slice` for the picture.
const slice = new Uint32Array(4 * data.units.length);

function advance(cycles) {
  const started = performance.now();
  slice.fill(0);
  while (cycles > 0 && !done()) {
    const ran = machine.run(Math.min(cycles, SLICE - machine.cycles() % SLICE));
    const {states} = counts();
    const column = Math.floor((machine.cycles() - 1) / SLICE);
    columns[column] ??= new Uint32Array(states.length);
    states.forEach((n, i) => { slice[i] += n; columns[column][i] += n; });
    cycles -= ran;
  }
  worked += performance.now() - started;
}

// ---- Pictures.

const RANK = Object.fromEntries(data.units.map((unit, i) => [unit.name, i]));
const parts = [...document.querySelectorAll("svg [data-unit]")].filter(part => part.dataset.unit in RANK).map(part => ({
  part, rank: RANK[part.dataset.unit], wire: part.matches(".wire"), box: part.matches(".unit:not(.end)"),
}));
const charted = parts.filter(each => each.box).map(each => each.rank);

function paint() {
  const {words} = counts();
  for (const {part, rank, box} of parts) {
    const states = slice.subarray(4 * rank, 4 * rank + 4), [moved, computed, stalled] = states;
    part.classList.toggle("moves", moved > 0);
    part.classList.toggle("waits", !moved && stalled > 0);
    if (!box) continue;
    const share = Math.min(1, words[rank] / data.units[rank].words);
    part.style.setProperty("--busy", `${100 * (moved + computed) / (sum(states) || 1)}%`);
    part.classList.toggle("stalled", stalled > moved + computed);
    part.querySelector(".use").textContent = `${Math.floor(100 * share)} %`;
    const bar = part.querySelector(".bar");
    bar.setAttribute("width", share * bar.dataset.width);
  }
  $("cycle").value = `cycle ${machine.cycles().toLocaleString("en")}`;
  answers();
  chart(drawn);
  controls();
}

function answers() {
  const got = logits(), [lo, hi] = data.range, best = got.indexOf(Math.max(...got)), finished = done();
  const at = v => 100 * (clip(v, lo, hi) - lo) / (hi - lo);
  [...$("logits").tBodies[0].rows].forEach((row, i) => {
    const given = i < got.length, bar = row.querySelector("b");
    bar.style.left = `${at(Math.min(given ? got[i] : 0, 0))}%`;
    bar.style.width = `${given ? Math.abs(at(got[i]) - at(0)) : 0}%`;
    row.cells[2].textContent = given ? got[i] : "";
    row.cells[3].textContent = expected[i] ?? "";
    row.className = [given && got[i] !== expected[i] ? "wrong" : "", finished && i === best ? "best" : ""].join(" ");
  });
  $("class").textContent = finished ? data.classes[best] : got.length || playing ? "…" : "–";
  $("class").classList.toggle("none", !finished);
  const equal = got.filter((v, i) => v === expected[i]).length;
  $("verdict").textContent = finished ? `${equal} of ${expected.length} logits equal` : "";
  $("verdict").className = equal === expected.length ? "right" : "wrong";
  const cycles = machine.cycles(), hardware = Math.round(cycles / 100);
  $("took").textContent = !finished ? ""
    : `${cycles.toLocaleString("en")} cycles: ${hardware} µs at 100 MHz, ${Math.round(worked)} ms here`;
}

// All columns on an empty chart; or those from the one on that was last, and may have been a part.
function chart(from = 0) {
  const canvas = $("time"), style = getComputedStyle(document.documentElement), width = canvas.clientWidth;
  const colour = name => style.getPropertyValue(`--${name}`), colours = ["heat", "compute", "stall"].map(colour);
  const row = 17, narrow = width < 500, left = narrow ? 66 : 230, across = (width - left) * SLICE / whole;
  const pen = canvas.getContext("2d");
  if (from === 0) {
    canvas.style.height = `${row * charted.length}px`;
    canvas.width = width * devicePixelRatio;
    canvas.height = row * charted.length * devicePixelRatio;
    pen.scale(devicePixelRatio, devicePixelRatio);
    pen.font = `11.5px ${getComputedStyle(document.body).fontFamily}`;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
  }
  charted.forEach((rank, line) => {
    const y = row * line, tall = row - 4, [path, kind] = data.units[rank].label;
    if (from === 0) {
      pen.fillStyle = colour("ink");
      pen.fillText(narrow ? path : `${path}  ${kind}`, left - 10, y + row / 2);
    }
    pen.fillStyle = colour("track");
    pen.fillRect(left + from * across, y + 2, width - left - from * across, tall);
    columns.slice(from).forEach((column, i) => {
      const states = column.subarray(4 * rank, 4 * rank + 4), total = sum(states);
      let low = y + 2 + tall;
      for (const state of [TRANSFER, COMPUTE, STALL]) {
        const part = tall * states[state] / total;
        pen.fillStyle = colours[state];
        pen.fillRect(left + (from + i) * across, low -= part, across + 0.3, part);
      }
    });
  });
  drawn = Math.max(columns.length - 1, 0);
}

function controls() {
  const begun = expected.length > 0 && machine.cycles() + Number(playing) > 0, finished = begun && done();
  $("play").textContent = finished ? "Again" : playing ? "Pause" : "Play";
  $("play").disabled = !begun;
  $("step").disabled = $("finish").disabled = !begun || finished;
}

$("play").addEventListener("click", () => done() ? begin(pixels) : playing ? (halt(), paint()) : play());
$("step").addEventListener("click", () => { halt(); advance(1); paint(); });
$("finish").addEventListener("click", () => { halt(); advance(Infinity); paint(); });
$("clear").addEventListener("click", () => {
  halt();
  strokes = [];
  expected = [];
  sketch();
  show(seen());
  restart();
  paint();
});
window.addEventListener("resize", () => machine && chart());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { sketch(); if (machine) chart(); });

// ---- The page.

$("speed").replaceChildren(...SPEEDS.map(speed => new Option(
  speed === Infinity ? "as fast as it goes" : `${speed.toLocaleString("en")} cycles a second`, speed)));
$("speed").value = matchMedia("(prefers-reduced-motion: reduce)").matches ? Infinity : 3000;
$("seen").replaceChildren(...pixels.map(() => document.createElement("i")));
for (const name of data.classes) {
  const row = $("logits").tBodies[0].insertRow(), zero = 100 * -data.range[0] / (data.range[1] - data.range[0]);
  row.innerHTML = `<td></td><td class="scale"><i style="--zero:${zero}%"><b></b></i></td><td></td><td></td>`;
  row.cells[0].textContent = name;
}

WebAssembly.instantiate(bytes(data.wasm), {wasi_snapshot_preview1: system}).then(({instance}) => {
  machine = instance.exports;
  machine._initialize();
  machine.start();
  whole = machine.run(1 << 30);
  machine.start();
  $("samples").replaceChildren(...data.samples.map((given, digit) => {
    const button = document.createElement("button");
    button.textContent = data.classes[digit];
    button.addEventListener("click", () => { strokes = []; sketch(); begin(given); });
    return button;
  }));
  sketch();
  show(seen());
  paint();
  document.body.dataset.ready = "";
}).catch(error => { $("verdict").textContent = `This browser cannot run the machine: ${error.message}`; });
