// Large pictures, seen in pieces: the whole of it small, and over it what is in view, as sharp as the screen.
// A picture here is { key, size: [height, width], whole, piece }: the addresses of all of it and of a piece.

const LARGE = 4e6; // pixels of a picture from which it is not sent whole
const WHOLE = 1600; // pixels of the longer side of the whole of one
const SETTLED = 120; // milliseconds without a move, after which a piece is asked for
const MOST = 4096; // pixels of a piece's longer side, as the server has it

const isLarge = ({ size }) => size[0] * size[1] > LARGE;
const pieceUrl = (picture, [left, top, width, height], longest) =>
  `${picture.piece}left=${left}&top=${top}&width=${width}&height=${height}&longest=${longest}`;

export const wholeUrl = (picture) => isLarge(picture)
  ? pieceUrl(picture, [0, 0, picture.size[1], picture.size[0]], WHOLE)
  : picture.whole;

// With half as much again around it, so that a small move shows nothing blurred.
function inView({ size }, stage, canvas, factor) {
  const span = (scroll, offset, shown, most) => {
    const [first, length] = [(scroll - offset) / factor, shown / factor];
    const begin = Math.max(0, Math.floor(first - length / 4));
    return [begin, Math.min(most, Math.ceil(first + 1.25 * length)) - begin];
  };
  const [left, width] = span(stage.scrollLeft, canvas.offsetLeft, stage.clientWidth, size[1]);
  const [top, height] = span(stage.scrollTop, canvas.offsetTop, stage.clientHeight, size[0]);
  return [left, top, width, height];
}

// What puts pieces into holder, to be called at every move; factor: screen pixels per pixel of the picture.
export function piecesIn(holder) {
  let waiting = 0;
  let wanted = "";

  async function fetchPiece(picture, box, fine) {
    const longest = Math.min(MOST, Math.ceil(Math.max(box[2], box[3]) * Math.min(1, fine)));
    const url = pieceUrl(picture, box, longest);
    if (url === wanted) return;
    wanted = url;
    const piece = new Image();
    piece.alt = "";
    piece.src = url;
    const [left, top, width, height] = box;
    piece.style.left = `${(100 * left) / picture.size[1]}%`;
    piece.style.top = `${(100 * top) / picture.size[0]}%`;
    piece.style.width = `${(100 * width) / picture.size[1]}%`;
    piece.style.height = `${(100 * height) / picture.size[0]}%`;
    const there = await piece.decode().then(() => true, () => false); // the last one stays until then
    if (there && url === wanted) holder.replaceChildren(piece);
  }

  return function seen(picture, stage, canvas, factor) {
    clearTimeout(waiting);
    if (holder.dataset.id !== String(picture.key)) { holder.replaceChildren(); wanted = ""; }
    holder.dataset.id = picture.key;
    const fine = factor * devicePixelRatio;
    const coarse = WHOLE / Math.max(...picture.size);
    if (!isLarge(picture) || fine <= coarse) { holder.replaceChildren(); wanted = ""; return; }
    waiting = setTimeout(() => fetchPiece(picture, inView(picture, stage, canvas, factor), fine), SETTLED);
  };
}
