/** What one can type while one chats. */
export const commandHelp: string = [
  "  /reset          begin anew",
  "  /system TEXT    begin anew under these instructions",
  "  /retry          take the last answer back and ask again",
  "  /save FILE      write the conversation as JSON",
  "  /help           this list",
  "  /quit           end, as Ctrl-D and pressing Ctrl-C twice do; Ctrl-C once stops an answer",
].join("\n");
