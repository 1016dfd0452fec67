/** Excerpts in the search results. */

/** The part of Sphinx's script for its page of search results that is changed here. */
interface Search {
  htmlToText(html: string, anchor?: string): string;
}

/** Takes excerpts from the article of a page only. Sphinx itself also takes them from the theme's menus around it. */
export function withoutMenus(search: Search): void {
  const { htmlToText } = search;
  search.htmlToText = (html, anchor) => {
    const article = new DOMParser().parseFromString(html, "text/html").querySelector("article");
    return htmlToText(article ? `<div role="main">${article.outerHTML}</div>` : html, anchor);
  };
}
