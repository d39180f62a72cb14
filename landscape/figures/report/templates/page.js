"use strict";
// State that all scripts share: the data, the redraw functions, and a canvas fit for print.
const page = JSON.parse(document.getElementById("data").textContent);
const redraws = []; // functions that draw everything again, in the current theme

// Before plotly.js runs: 3-D canvases keep their last picture, so that it can be printed; 2-D ones, of which it reads
// the width of texts, are kept where reading is quick.
const { getContext } = HTMLCanvasElement.prototype;
HTMLCanvasElement.prototype.getContext = function (kind, options) {
  return getContext.call(this, kind, { ...options, preserveDrawingBuffer: true, willReadFrequently: true });
};

// Let the browser paint between one figure and the next.
const pause = () => new Promise((resolve) => setTimeout(resolve));
// The value of a group of radio buttons; undefined if there is no such group.
const chosen = (id) => document.querySelector(`input[name="${CSS.escape(id)}"]:checked`)?.value;
