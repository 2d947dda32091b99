// A timeline on a canvas: zoom with the wheel, + and -; pan by dragging or with the arrows; hover to read a task.
// What is too short to be seen is drawn once per pixel, found by bisection, so that a hundred thousand tasks stay fluid.
"use strict";
(() => {
  const GUTTER = 150, AXIS = 22, HEAD = 20, GAP = 8;
  const HEIGHTS = { compute: 18, steps: 20 }, THIN = 9;

  const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
  const floats = (text) => new Float32Array(bytesOf(text));

  // The first place from which on values are larger; values rise.
  const above = (values, limit, from = 0) => {
    let low = from, high = values.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (values[middle] > limit) high = middle; else low = middle + 1;
    }
    return low;
  };

  const seconds = (value) => {
    const size = Math.abs(value);
    if (size >= 1) return `${value.toPrecision(4)} s`;
    if (size >= 1e-3) return `${(value * 1e3).toPrecision(4)} ms`;
    return `${(value * 1e6).toPrecision(4)} µs`;
  };
  const amount = (value, unit) => {
    for (const [factor, prefix] of [[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"]]) {
      if (Math.abs(value) >= factor) return `${(value / factor).toPrecision(3)} ${prefix}${unit}`;
    }
    return `${value.toPrecision(3)} ${unit}`;
  };

  // Hatches tell kinds apart without colour.
  const patternOf = (context, look) => {
    if (!look.hatch) return look.colour;
    const tile = document.createElement("canvas");
    tile.width = tile.height = 6;
    const pen = tile.getContext("2d");
    pen.fillStyle = look.colour;
    pen.fillRect(0, 0, 6, 6);
    pen.strokeStyle = "#222";
    pen.lineWidth = 1;
    pen.beginPath();
    const sign = look.hatch[0];
    if (sign === "/" || sign === "x") { pen.moveTo(0, 6); pen.lineTo(6, 0); }
    if (sign === "\\" || sign === "x") { pen.moveTo(0, 0); pen.lineTo(6, 6); }
    if (sign === "|" || sign === "+") { pen.moveTo(3, 0); pen.lineTo(3, 6); }
    if (sign === "-" || sign === "+") { pen.moveTo(0, 3); pen.lineTo(6, 3); }
    if (sign === "." || sign === "o") { pen.rect(2, 2, 1, 1); }
    pen.stroke();
    return context.createPattern(tile, "repeat");
  };

  class Timeline {
    constructor(box) {
      this.box = box;
      this.canvas = box.querySelector("canvas.tracks");
      this.tip = box.querySelector(".tip");
      this.said = box.querySelector("[aria-live]");
      this.critical = box.querySelector("input.critical");
      this.data = JSON.parse(document.getElementById(box.dataset.of).textContent);
      this.context = this.canvas.getContext("2d");
      this.looks = this.data.looks.map((look) => patternOf(this.context, look));
      this.read();
      this.end = Math.max(...this.data.players.map((player) => player.makespan_s), 1e-12);
      this.show(0, this.end);
      this.at = -1;
      this.listen();
      this.legend();
      new ResizeObserver(() => this.draw()).observe(this.canvas);
      this.draw();
    }

    // Tracks with what they hold, from above to below.
    read() {
      this.tracks = [];
      this.path = [];
      let top = AXIS;
      this.data.players.forEach((player, number) => {
        this.tracks.push({ type: "head", label: `${player.name}: ${seconds(player.makespan_s)}`, top, height: HEAD, player });
        top += HEAD;
        let rank = null;
        for (const lane of player.lanes) {
          if (rank !== null && lane.rank !== rank) top += GAP;
          rank = lane.rank;
          const height = HEIGHTS[lane.type === "steps" ? "steps" : lane.what] || THIN;
          const track = { ...lane, top, height, player, number };
          if (lane.type === "steps") {
            track.times = floats(lane.times);
            track.values = floats(lane.values);
            track.most = track.values.reduce((a, b) => Math.max(a, b), 0) || 1;
          } else {
            track.starts = floats(lane.starts);
            track.ends = floats(lane.ends);
            track.kinds = new Uint16Array(bytesOf(lane.kinds));
            track.batches = new Int32Array(bytesOf(lane.batches));
            track.onPath = new Uint8Array(bytesOf(lane.path));
            track.latest = track.ends.slice();
            for (let i = 1; i < track.latest.length; i++) track.latest[i] = Math.max(track.latest[i], track.latest[i - 1]);
            track.onPath.forEach((is, i) => { if (is) this.path.push([track, i]); });
          }
          this.tracks.push(track);
          top += height + 1;
        }
        top += GAP;
      });
      this.path.sort((a, b) => a[0].number - b[0].number || a[0].starts[a[1]] - b[0].starts[b[1]]);
      this.height = top;
    }

    show(from, to) {
      const least = this.end * 1e-6, width = Math.min(Math.max(to - from, least), this.end * 1.02);
      this.from = Math.min(Math.max(from, 0), this.end * 1.02 - width);
      this.to = this.from + width;
      this.box.dataset.from = this.from;
      this.box.dataset.to = this.to;
    }

    x(at) { return GUTTER + (at - this.from) * this.scale; }

    draw() {
      const begun = performance.now(), ratio = window.devicePixelRatio || 1, width = this.canvas.clientWidth;
      this.width = width;
      this.scale = (width - GUTTER) / (this.to - this.from);
      this.canvas.style.height = `${this.height}px`;
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(this.height * ratio);
      const pen = this.context;
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, width, this.height);
      this.drawn = 0;
      this.axis(pen);
      for (const track of this.tracks) {
        if (track.type === "head") this.head(pen, track);
        else if (track.type === "steps") this.steps(pen, track);
        else this.tasks(pen, track);
      }
      if (this.critical.checked) this.connect(pen);
      this.box.dataset.drawn = this.drawn;
      this.box.dataset.milliseconds = performance.now() - begun;
    }

    axis(pen) {
      const span = this.to - this.from, raw = span / 8, power = 10 ** Math.floor(Math.log10(raw));
      const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
      pen.font = "11px system-ui, sans-serif";
      pen.fillStyle = "#444";
      pen.textAlign = "center";
      for (let tick = Math.ceil(this.from / step) * step; tick <= this.to; tick += step) {
        const x = this.x(tick);
        pen.fillText(tick === 0 ? "0" : seconds(Number(tick.toPrecision(12))), x, 13);
        pen.fillStyle = "#e4e4e4";
        pen.fillRect(x, AXIS - 4, 1, this.height);
        pen.fillStyle = "#444";
      }
    }

    head(pen, track) {
      pen.font = "bold 12px system-ui, sans-serif";
      pen.textAlign = "left";
      pen.fillStyle = "#111";
      pen.fillText(track.label, 4, track.top + 14);
    }

    label(pen, track) {
      pen.font = `${track.height > 10 ? 11 : 9}px system-ui, sans-serif`;
      pen.textAlign = "left";
      pen.fillStyle = "#333";
      pen.fillText(track.label, 6, track.top + track.height / 2 + 4, GUTTER - 10);
    }

    tasks(pen, track) {
      this.label(pen, track);
      pen.fillStyle = "#f4f4f4";
      pen.fillRect(GUTTER, track.top, this.width - GUTTER, track.height);
      const last = above(track.starts, this.to);
      const critical = this.critical.checked, text = track.what === "compute";
      let i = above(track.latest, this.from);
      while (i < last) {
        const x = Math.max(this.x(track.starts[i]), GUTTER), right = Math.min(this.x(track.ends[i]), this.width);
        const look = this.data.kinds[track.kinds[i]].look;
        pen.fillStyle = this.looks[look];
        pen.fillRect(x, track.top, Math.max(right - x, 1), track.height);
        this.drawn++;
        if (critical && track.onPath[i]) {
          pen.strokeStyle = "#000";
          pen.lineWidth = 2;
          pen.strokeRect(x + 1, track.top + 1, Math.max(right - x - 2, 1), track.height - 2);
        }
        if (text && right - x > 24 && track.batches[i] >= 0) {
          pen.font = "10px system-ui, sans-serif";
          pen.textAlign = "center";
          pen.fillStyle = this.data.looks[look].light ? "#000" : "#fff";
          pen.fillText(this.data.kinds[track.kinds[i]].letter + track.batches[i], (x + right) / 2, track.top + 13);
        }
        // All that ends within this pixel would be drawn over the same.
        const next = right < x + 1 ? above(track.starts, this.from + (x + 1 - GUTTER) / this.scale, i) : i + 1;
        i = Math.max(next, i + 1);
      }
    }

    steps(pen, track) {
      this.label(pen, track);
      pen.strokeStyle = track.what === "memory" ? "#cc79a7" : "#009e73";
      pen.lineWidth = 1.2;
      if (track.what === "power") pen.setLineDash([3, 2]);
      pen.beginPath();
      const y = (value) => track.top + track.height - 1 - (value / track.most) * (track.height - 3);
      let i = Math.max(above(track.times, this.from) - 1, 0), pixel = -1, most = 0;
      const last = above(track.times, this.to);
      pen.moveTo(GUTTER, y(track.values[i] ?? 0));
      for (; i < last; i++) {
        const x = Math.max(this.x(track.times[i]), GUTTER), at = Math.floor(x);
        most = at === pixel ? Math.max(most, track.values[i]) : track.values[i];
        if (at === pixel && track.values[i] < most) continue;
        pixel = at;
        const before = track.values[Math.max(i - 1, 0)];
        pen.lineTo(x, y(before));
        pen.lineTo(x, y(track.values[i]));
      }
      if (last > 0) pen.lineTo(Math.min(this.x(track.player.makespan_s), this.width), y(track.values[last - 1]));
      pen.stroke();
      pen.setLineDash([]);
    }

    // From task to task of the critical path, a line wherever it leaves a track.
    connect(pen) {
      pen.strokeStyle = "#000";
      pen.lineWidth = 1;
      pen.beginPath();
      for (let k = 1; k < this.path.length; k++) {
        const [a, i] = this.path[k - 1], [b, j] = this.path[k];
        if (a.number !== b.number || a === b) continue;
        const x = this.x(b.starts[j]);
        if (x < GUTTER || x > this.width) continue;
        pen.moveTo(Math.max(this.x(Math.min(a.ends[i], b.starts[j])), GUTTER), a.top + a.height / 2);
        pen.lineTo(x, b.top + b.height / 2);
      }
      pen.stroke();
    }

    // What lies at a place: the track, and of a track of tasks which.
    find(x, y) {
      const track = this.tracks.find((each) => each.type !== "head" && y >= each.top && y < each.top + each.height + 1);
      if (!track || x < GUTTER) return null;
      const at = this.from + (x - GUTTER) / this.scale;
      if (track.type === "steps") return { track, at };
      const slack = 2 / this.scale;
      for (let i = above(track.starts, at + slack) - 1; i >= 0 && track.latest[i] >= at - slack; i--) {
        if (track.ends[i] >= at - slack) return { track, i };
      }
      return null;
    }

    describe(found) {
      const { track, i, at } = found;
      if (track.type === "steps") {
        const place = Math.max(above(track.times, at) - 1, 0);
        return `${track.player.name}, ${track.label}\n${amount(track.values[place], track.unit)} at ${seconds(at)}`;
      }
      const kind = this.data.kinds[track.kinds[i]];
      const batch = track.batches[i] < 0 ? "" : track.batches[i];
      const lines = [
        `${kind.before}${batch}${kind.after}`,
        `${track.player.name}, rank ${track.rank}: ${this.data.looks[kind.look].name}`,
        `${seconds(track.starts[i])} to ${seconds(track.ends[i])}: ${seconds(track.ends[i] - track.starts[i])}`,
      ];
      if (kind.detail) lines.push(kind.detail);
      if (track.onPath[i]) lines.push("on the critical path");
      return lines.join("\n");
    }

    hover(event) {
      const box = this.canvas.getBoundingClientRect();
      const found = this.find(event.clientX - box.left, event.clientY - box.top);
      this.tip.hidden = !found;
      if (!found) return;
      this.tip.textContent = this.describe(found);
      const x = event.clientX - box.left, right = x > this.width / 2;
      this.tip.style.left = right ? "" : `${x + 14}px`;
      this.tip.style.right = right ? `${this.width - x + 14}px` : "";
      this.tip.style.top = `${this.canvas.offsetTop + event.clientY - box.top + 14}px`;
    }

    zoom(factor, at = (this.from + this.to) / 2) {
      this.show(at - (at - this.from) * factor, at + (this.to - at) * factor);
      this.draw();
    }

    pan(part) {
      const by = part * (this.to - this.from);
      this.show(this.from + by, this.to + by);
      this.draw();
    }

    // The next or previous task of the critical path, in view and in words.
    walk(step) {
      if (!this.path.length) return;
      this.at = (this.at + step + this.path.length) % this.path.length;
      const [track, i] = this.path[this.at];
      this.said.textContent = this.describe({ track, i }).replace(/\n/g, ". ");
      const width = this.to - this.from;
      if (track.starts[i] < this.from || track.ends[i] > this.to) {
        this.show(track.starts[i] - width / 2, track.starts[i] + width / 2);
        this.draw();
      }
    }

    listen() {
      const canvas = this.canvas;
      canvas.addEventListener("wheel", (event) => {
        event.preventDefault();
        const x = event.clientX - canvas.getBoundingClientRect().left;
        const at = this.from + Math.max(x - GUTTER, 0) / this.scale;
        this.zoom(Math.exp(Math.sign(event.deltaY) * 0.25), at);
      }, { passive: false });
      canvas.addEventListener("pointerdown", (event) => {
        this.held = event.clientX;
        canvas.setPointerCapture(event.pointerId);
      });
      canvas.addEventListener("pointermove", (event) => {
        if (this.held === undefined) return this.hover(event);
        const by = (this.held - event.clientX) / this.scale;
        this.held = event.clientX;
        this.show(this.from + by, this.to + by);
        this.draw();
      });
      canvas.addEventListener("pointerup", () => { this.held = undefined; });
      canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
      canvas.addEventListener("dblclick", () => this.whole());
      canvas.addEventListener("keydown", (event) => {
        const does = {
          "+": () => this.zoom(0.7), "=": () => this.zoom(0.7), "-": () => this.zoom(1 / 0.7),
          ArrowLeft: () => this.pan(-0.2), ArrowRight: () => this.pan(0.2),
          Home: () => this.whole(), 0: () => this.whole(), n: () => this.walk(1), p: () => this.walk(-1),
        }[event.key];
        if (does) { event.preventDefault(); does(); }
      });
      this.critical.addEventListener("change", () => this.draw());
      for (const button of this.box.querySelectorAll("button")) {
        const does = { in: () => this.zoom(0.7), out: () => this.zoom(1 / 0.7), all: () => this.whole() };
        button.addEventListener("click", does[button.dataset.does]);
      }
      window.addEventListener("beforeprint", () => this.draw());
    }

    whole() {
      this.show(0, this.end);
      this.draw();
    }

    legend() {
      const place = this.box.querySelector(".keys");
      this.data.looks.forEach((look) => {
        const key = document.createElement("span"), swatch = document.createElement("canvas");
        key.className = "key";
        swatch.width = 18;
        swatch.height = 11;
        const pen = swatch.getContext("2d");
        pen.fillStyle = patternOf(pen, look);
        pen.fillRect(0, 0, 18, 11);
        key.append(swatch, look.name);
        place.append(key);
      });
    }
  }

  for (const box of document.querySelectorAll(".timeline")) new Timeline(box);
  document.body.dataset.ready = "yes";
})();
