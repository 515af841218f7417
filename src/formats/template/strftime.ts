import { Unsupported } from "./errors.ts";

const months = "January February March April May June July August September October November December".split(
  " ",
);
const days = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");

/**
 * Python's strftime of local time, in English whatever the user's language: models were trained on that.
 * Errors: Unsupported, for a field that is not here.
 */
export function strftime(date: Date, format: string): string {
  const day = Math.round(
    (Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - Date.UTC(date.getFullYear(), 0, 1)) /
      864e5,
  );
  const hour = date.getHours();
  const [weekday, year] = [date.getDay(), date.getFullYear()];
  const number = (value: number, width: number, pad = "0") => ({ value, width, pad });
  const fields: Readonly<Record<string, () => string | { value: number; width: number; pad: string }>> = {
    Y: () => String(year),
    C: () => number(Math.floor(year / 100), 2),
    y: () => number(year % 100, 2),
    G: () => String(isoWeek(date).year),
    g: () => number(isoWeek(date).year % 100, 2),
    m: () => number(date.getMonth() + 1, 2),
    d: () => number(date.getDate(), 2),
    e: () => number(date.getDate(), 2, " "),
    j: () => number(day + 1, 3),
    B: () => months[date.getMonth()]!,
    b: () => months[date.getMonth()]!.slice(0, 3),
    h: () => months[date.getMonth()]!.slice(0, 3),
    A: () => days[weekday]!,
    a: () => days[weekday]!.slice(0, 3),
    u: () => String(weekday || 7),
    w: () => String(weekday),
    U: () => number(Math.floor((day + 7 - weekday) / 7), 2),
    W: () => number(Math.floor((day + 7 - ((weekday + 6) % 7)) / 7), 2),
    V: () => number(isoWeek(date).week, 2),
    H: () => number(hour, 2),
    k: () => number(hour, 2, " "),
    I: () => number(hour % 12 || 12, 2),
    l: () => number(hour % 12 || 12, 2, " "),
    p: () => (hour < 12 ? "AM" : "PM"),
    P: () => (hour < 12 ? "am" : "pm"),
    M: () => number(date.getMinutes(), 2),
    S: () => number(date.getSeconds(), 2),
    f: () => String(date.getMilliseconds() * 1000).padStart(6, "0"),
    // Times of Python's datetime.now() know no zone.
    z: () => "",
    Z: () => "",
    n: () => "\n",
    t: () => "\t",
    "%": () => "%",
    c: () => strftime(date, "%a %b %e %H:%M:%S %Y"),
    D: () => strftime(date, "%m/%d/%y"),
    x: () => strftime(date, "%m/%d/%y"),
    F: () => strftime(date, "%Y-%m-%d"),
    T: () => strftime(date, "%H:%M:%S"),
    X: () => strftime(date, "%H:%M:%S"),
    R: () => strftime(date, "%H:%M"),
    r: () => strftime(date, "%I:%M:%S %p"),
  };
  return format.replace(/%([-_0^#]?)(.|$)/gsu, (whole, flag: string, name: string) => {
    const field = fields[name]?.();
    if (field === undefined || flag === "#") throw new Unsupported(`the field '${whole}' of strftime_now`);
    if (typeof field === "string") return flag === "^" ? field.toUpperCase() : field;
    if (flag === "-") return String(field.value);
    return String(field.value).padStart(field.width, flag === "_" ? " " : flag === "0" ? "0" : field.pad);
  });
}

function isoWeek(date: Date): { year: number; week: number } {
  // The week is that of its Thursday.
  const thursday = new Date(
    Date.UTC(date.getFullYear(), date.getMonth(), date.getDate() + 4 - (date.getDay() || 7)),
  );
  const year = thursday.getUTCFullYear();
  return { year, week: Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / 864e5 / 7) + 1 };
}
