// Sends what was typed into a `datetime-local` field as a moment in UTC: the field shows the reader's own time. Without this
// module the server takes it for UTC, which a hint beside the field says.

for (const form of document.querySelectorAll("form")) {
  const fields = [...form.querySelectorAll('input[type="datetime-local"]')];
  if (fields.length === 0) continue;
  form.addEventListener("formdata", ({ formData }) => {
    for (const { name, value } of fields) {
      const at = new Date(value);
      if (value && !Number.isNaN(at.getTime())) formData.set(name, at.toISOString());
    }
  });
}
