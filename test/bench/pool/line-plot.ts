/** A picture of how something goes over something else. */
export interface LinePlot {
  readonly title: string;
  /** What stands at the axes, units included. */
  readonly xLabel: string;
  readonly yLabel: string;
  /** Lines of at least two points each; both axes begin at 0. */
  readonly lines: readonly PlotLine[];
}

export interface PlotLine {
  readonly label: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

const WIDTH = 760;
const HEIGHT = 380;
/** Room around the plot for labels. */
const ROOM = { left: 70, right: 130, top: 45, bottom: 55 };
const TICKS_ABOUT = 6;
/** Baselines of labels at the lines' ends are so far apart at least. */
const LABEL_GAP = 16;
/** Told apart by those who see few colours (Okabe and Ito), and on either ground. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7'];
/** The ground is the page's own: what is drawn in no colour of a line takes that of a page's text, light or dark. */
const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .grid { stroke: #8b949e; stroke-opacity: 0.35 }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }
`;

/** An SVG document, for a light page and for a dark one. */
export function renderLinePlot({ title, xLabel, yLabel, lines }: LinePlot): string {
  const points = lines.flatMap((line) => line.points);
  const xTicks = ticksUpTo(Math.max(...points.map(([x]) => x)));
  const yTicks = ticksUpTo(Math.max(...points.map(([, y]) => y)));
  const x = scale(xTicks, ROOM.left, WIDTH - ROOM.right);
  const y = scale(yTicks, HEIGHT - ROOM.bottom, ROOM.top);
  const across = yTicks.map((value) => {
    const label = `<text x="${ROOM.left - 8}" y="${y(value) + 4}" text-anchor="end">${shown(value)}</text>`;
    return `<line class="grid" x1="${ROOM.left}" x2="${WIDTH - ROOM.right}" y1="${y(value)}" y2="${y(value)}"/>${label}`;
  });
  const along = xTicks.map(
    (value) => `<text x="${x(value)}" y="${HEIGHT - ROOM.bottom + 20}" text-anchor="middle">${shown(value)}</text>`,
  );
  const drawn = lines.map((line, index) => {
    const path = line.points.map(([atX, atY]) => `${x(atX)},${y(atY)}`).join(' ');
    return `<polyline points="${path}" fill="none" stroke="${colour(index)}" stroke-width="2"/>`;
  });
  const middle = { x: (ROOM.left + WIDTH - ROOM.right) / 2, y: (ROOM.top + HEIGHT - ROOM.bottom) / 2 };
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escape(title)}">`,
    `<style>${STYLE}</style>`,
    `<text class="title" x="${ROOM.left}" y="24">${escape(title)}</text>`,
    ...across,
    ...along,
    `<text x="${middle.x}" y="${HEIGHT - 12}" text-anchor="middle">${escape(xLabel)}</text>`,
    `<text transform="translate(18 ${middle.y}) rotate(-90)" text-anchor="middle">${escape(yLabel)}</text>`,
    ...drawn,
    ...endLabels(lines, y),
    '</svg>\n',
  ].join('\n');
}

/** Each line's name beside its end; where ends are close, they give way upwards. */
function endLabels(lines: readonly PlotLine[], y: (value: number) => number): string[] {
  let free = Infinity;
  return lines
    .map((line, index) => ({ line, index, at: y(line.points.at(-1)?.[1] ?? 0) + 4 }))
    .sort((a, b) => b.at - a.at)
    .map(({ line, index, at }) => {
      const baseline = Math.min(at, free);
      free = baseline - LABEL_GAP;
      // An attribute would yield to the style of all text.
      return `<text x="${WIDTH - ROOM.right + 8}" y="${baseline}" style="fill: ${colour(index)}">${escape(line.label)}</text>`;
    });
}

/** From 0 to the first at or above the largest value, by 1, 2 or 5 times a power of ten. */
function ticksUpTo(largest: number): number[] {
  const rough = Math.max(largest, Number.MIN_VALUE) / TICKS_ABOUT;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5].find((times) => times * power >= rough) ?? 10) * power;
  return Array.from({ length: Math.ceil(largest / step) + 1 }, (_, index) => index * step);
}

function scale(ticks: readonly number[], from: number, to: number): (value: number) => number {
  const largest = ticks.at(-1) ?? 1;
  return (value) => Number((from + (value / largest) * (to - from)).toFixed(1));
}

function colour(index: number): string {
  return COLOURS[index % COLOURS.length] ?? 'currentColor';
}

function shown(value: number): string {
  return value.toLocaleString('en', { maximumFractionDigits: 3 });
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
