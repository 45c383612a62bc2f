// Draws a dashboard by Grafana's own panels, from what a Prometheus answered to its queries.
import React from 'react';
import { createRoot } from 'react-dom/client';
import { FieldType, applyFieldOverrides, createTheme, dateTime, getFieldDisplayValues, standardEditorsRegistry, standardFieldConfigEditorRegistry, toDataFrame } from '@grafana/data';
import { BigValue, BigValueColorMode, BigValueGraphMode, BigValueJustifyMode, BigValueTextMode, GlobalStyles, PanelChrome, Table, ThemeContext, TimeSeries } from '@grafana/ui';

const { board, answers, from, to } = window.DATA;
const theme = createTheme({ colors: { mode: 'dark' } });
// Grafana's server registers these; each passes on what the dashboard says.
const option = (id) => ({ id, path: id, name: id, editor: () => null, override: () => null, process: (value) => value, shouldApply: () => true, settings: {} });
standardEditorsRegistry.setInit(() => []);
standardFieldConfigEditorRegistry.setInit(() => ['unit', 'min', 'max', 'decimals', 'noValue', 'color', 'thresholds', 'mappings', 'links', 'displayName'].map((id) => option(id)).concat(
  ['width', 'cellOptions'].map((id) => ({ ...option(id), id: `custom.${id}`, isCustom: true })),
));
const range = { from: dateTime(from), to: dateTime(to), raw: { from: dateTime(from), to: dateTime(to) } };

function label(format, labels, fallback) {
  if (!format) return fallback;
  return format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? '');
}
function frames(panel) {
  const out = [];
  (panel.targets ?? []).forEach((target, nth) => {
    const answer = answers[panel.id]?.[nth];
    if (!answer) return;
    if (target.format === 'table') {
      const names = [...new Set(answer.flatMap((series) => Object.keys(series.metric)))];
      out.push(toDataFrame({ refId: target.refId, fields: [
        { name: 'Time', type: FieldType.time, values: answer.map((s) => s.value[0] * 1000) },
        ...names.map((name) => ({ name, type: FieldType.string, values: answer.map((s) => s.metric[name] ?? '') })),
        { name: 'Value', type: FieldType.number, values: answer.map((s) => Number(s.value[1])) },
      ] }));
      return;
    }
    answer.forEach((series) => {
      const points = series.values ?? [series.value];
      out.push(toDataFrame({ refId: target.refId, name: label(target.legendFormat, series.metric, JSON.stringify(series.metric)), fields: [
        { name: 'Time', type: FieldType.time, values: points.map((p) => p[0] * 1000) },
        { name: 'Value', type: FieldType.number, labels: series.metric, values: points.map((p) => Number(p[1])), config: { displayNameFromDS: label(target.legendFormat, series.metric, 'Value') } },
      ] }));
    });
  });
  return out;
}
const fieldConfigRegistry = standardFieldConfigEditorRegistry;
function withConfig(panel, data) {
  const done = applyFieldOverrides({ data, fieldConfig: panel.fieldConfig, replaceVariables: (v) => v, theme, timeZone: 'utc', fieldConfigRegistry });
  // What panels keep beside the standard options.
  done.forEach((frame) => frame.fields.forEach((field) => { field.config.custom = { ...(panel.fieldConfig.defaults.custom ?? {}), ...(field.config.custom ?? {}) }; }));
  return done;
}
function Empty({ panel }) {
  return <div style={{ display: 'flex', alignItems: 'center', justifyContent: 'center', height: '100%', color: theme.colors.text.secondary, textAlign: 'center', padding: 8 }}>{panel.fieldConfig.defaults.noValue ?? 'No data'}</div>;
}
function Inner({ panel, width, height }) {
  let data = frames(panel);
  if (panel.type === 'table') {
    const organize = (panel.transformations ?? []).find((t) => t.id === 'organize');
    if (organize && data.length) {
      const { excludeByName = {}, indexByName = {}, renameByName = {} } = organize.options;
      data = data.map((frame) => ({ ...frame, fields: frame.fields.filter((f) => !excludeByName[f.name]).sort((a, b) => (indexByName[a.name] ?? 99) - (indexByName[b.name] ?? 99)).map((f) => ({ ...f, name: renameByName[f.name] || f.name })) }));
    }
  }
  data = withConfig(panel, data);
  const empty = !data.some((frame) => frame.length > 0);
  if (empty) return <Empty panel={panel} />;
  if (panel.type === 'timeseries') {
    const legend = panel.options.legend ?? { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] };
    return <TimeSeries frames={data} structureRev={1} timeRange={range} timeZone="utc" width={width} height={height} legend={legend} options={panel.options} />;
  }
  const values = getFieldDisplayValues({ fieldConfig: panel.fieldConfig, reduceOptions: panel.options.reduceOptions ?? { calcs: ['lastNotNull'], fields: '', values: false }, data, theme, replaceVariables: (v) => v, timeZone: 'utc' });
  if (panel.type === 'stat') {
    const value = values[0];
    return <BigValue width={width} height={height} value={value.display} theme={theme} colorMode={panel.options.colorMode ?? BigValueColorMode.Value} graphMode={BigValueGraphMode.None} justifyMode={panel.options.justifyMode ?? BigValueJustifyMode.Auto} textMode={panel.options.textMode ?? BigValueTextMode.Auto} />;
  }
  if (panel.type === 'table') return <Table data={data[0]} width={width} height={height} />;
  return <Empty panel={panel} />;
}
function App() {
  const unit = 30, width = window.DATA.width, column = width / 24;
  const rows = board.panels.filter((p) => p.type !== 'row' && p.gridPos.y < window.DATA.until);
  const bottom = Math.max(...rows.map((p) => p.gridPos.y + p.gridPos.h));
  return <ThemeContext.Provider value={theme}><GlobalStyles /><div style={{ background: theme.colors.background.canvas, padding: 12, width: width + 24, fontFamily: theme.typography.fontFamily, color: theme.colors.text.primary }}>
    <div style={{ fontSize: 16, padding: '0 4px 10px' }}>{board.title}</div>
    <div style={{ position: 'relative', height: bottom * (unit + 8) }}>
      {rows.map((p) => {
        const box = { left: p.gridPos.x * column, top: p.gridPos.y * (unit + 8), width: p.gridPos.w * column - 8, height: p.gridPos.h * (unit + 8) - 8 };
        return <div key={p.id} style={{ position: 'absolute', ...box }}>
          <PanelChrome width={box.width} height={box.height} title={p.title} description={p.description} padding="md">{(w, h) => <Inner panel={p} width={w} height={h} />}</PanelChrome>
        </div>;
      })}
    </div></div></ThemeContext.Provider>;
}
createRoot(document.getElementById('root')).render(<App />);
