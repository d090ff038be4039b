// Where frames go: as large as fits, beside or below each other; the rules of the window.
const GAP = 12;
const HEADER = 24;

function fitZoom(frame, width, height) {
  const zoom = Math.min(width / frame.width, height / frame.height);
  const whole = Math.floor(zoom);
  return zoom < 1.1 * whole ? whole : Math.max(zoom, 0.1);
}

/** Places `{left, top, width, height}` for `count` equal frames in an area, in CSS pixels. */
export function arrange(frame, count, width, height) {
  const header = count > 1 ? HEADER : 0;
  const gaps = GAP * (count - 1);
  const ratio = window.devicePixelRatio || 1;
  const zoomIn = (w, h) => fitZoom(frame, w * ratio, h * ratio) / ratio;
  const beside = zoomIn((width - gaps) / count, height - header);
  const below = zoomIn(width, (height - gaps) / count - header);
  const zoom = Math.max(beside, below);
  const size = { width: frame.width * zoom, height: frame.height * zoom };
  const step = beside >= below ? [size.width + GAP, 0] : [0, size.height + header + GAP];
  const whole = [size.width + (count - 1) * step[0], size.height + header + (count - 1) * step[1]];
  const left = (width - whole[0]) / 2;
  const top = (height - whole[1]) / 2 + header;
  return Array.from({ length: count }, (_, i) => ({ left: left + i * step[0], top: top + i * step[1], ...size }));
}

/** Height that `count` frames need below each other at a width. */
export function heightFor(frame, count, width) {
  const header = count > 1 ? HEADER : 0;
  return count * ((width * frame.height) / frame.width + header) + GAP * (count - 1);
}
