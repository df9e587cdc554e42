export class EventParser {
    /** @param {(event: string, data: string, id: string | undefined) => void} emit `id`: the event's own */
    constructor(emit: (event: string, data: string, id: string | undefined) => void);
    /** @param {string} text the next piece, cut anywhere */
    push(text: string): void;
    #private;
}
